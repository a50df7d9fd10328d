"""Who may reach whom under NetworkPolicies, by the semantics of networking.k8s.io/v1.

A pure function over rendered policies, for clusters whose network enforces none. It knows pods by namespace and labels,
and what is outside by its address; named ports are not known to it, and are refused.
"""

import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from chart.rendering import Object, Objects

Labels = dict[str, str]


@dataclass(frozen=True)
class Pod:
    """A pod, and what its namespace is called. A namespace is labelled with its name, as Kubernetes does."""

    namespace: str
    labels: Labels = field(hash=False)


@dataclass(frozen=True)
class Outside:
    """Something that is no pod, by its address."""

    address: str


Party = Pod | Outside


def may_reach(objects: Objects, source: Party, target: Party, port: int, protocol: str = "TCP") -> bool:
    """Whether the policies among some objects let one party open a connection to a port of another."""
    policies = [one for (kind, _), one in objects.items() if kind == "NetworkPolicy"]
    return _one_way(policies, "Egress", source, target, port, protocol) and _one_way(
        policies, "Ingress", target, source, port, protocol
    )


def _one_way(policies: list[Object], way: str, guarded: Party, other: Party, port: int, protocol: str) -> bool:
    """Whether one side's policies agree. What is outside has none, and a pod that none selects is open."""
    if isinstance(guarded, Outside):
        return True
    selecting = [one for one in policies if way in _types(one["spec"]) and _selects(one, guarded)]
    if not selecting:
        return True
    return any(
        _has_port(rule, port, protocol) and _has_peer(rule.get(side), one["metadata"].get("namespace"), guarded, other)
        for one in selecting
        for side, rule in _rules(one["spec"], way)
    )


def _types(spec: Object) -> list[str]:
    return spec.get("policyTypes") or ["Ingress", *(["Egress"] if "egress" in spec else [])]


def _selects(policy: Object, pod: Pod) -> bool:
    namespace = policy["metadata"].get("namespace")
    return namespace in {None, pod.namespace} and matches(policy["spec"]["podSelector"], pod.labels)


def _rules(spec: Object, way: str) -> Iterator[tuple[str, Object]]:
    for rule in spec.get(way.lower()) or []:
        yield ("from" if way == "Ingress" else "to"), rule


def _has_port(rule: Object, port: int, protocol: str) -> bool:
    ports = rule.get("ports")
    return not ports or any(_is_port(one, port, protocol) for one in ports)


def _is_port(one: Object, port: int, protocol: str) -> bool:
    if one.get("protocol", "TCP") != protocol:
        return False
    if "port" not in one:
        return True
    first = one["port"]
    assert isinstance(first, int), "a named port is resolved by each pod, and no pod is here"
    return first <= port <= int(one.get("endPort", first))


def _has_peer(peers: list[Object] | None, namespace: str | None, guarded: Pod, other: Party) -> bool:
    home = namespace or guarded.namespace
    return not peers or any(_is_peer(one, home, other) for one in peers)


def _is_peer(peer: Object, home: str, other: Party) -> bool:
    if "ipBlock" in peer:
        return isinstance(other, Outside) and _in_block(peer["ipBlock"], other.address)
    if isinstance(other, Outside):
        return False
    if "namespaceSelector" in peer:
        in_namespace = matches(peer["namespaceSelector"], {"kubernetes.io/metadata.name": other.namespace})
    else:
        in_namespace = other.namespace == home
    return in_namespace and matches(peer.get("podSelector") or {}, other.labels)


def _in_block(block: Object, address: str) -> bool:
    found = ipaddress.ip_address(address)
    return found in ipaddress.ip_network(block["cidr"]) and not any(
        found in ipaddress.ip_network(one) for one in block.get("except") or []
    )


def matches(selector: dict[str, Any], labels: Labels) -> bool:
    """Whether a label selector matches; an empty one matches everything."""
    wanted: Labels = selector.get("matchLabels") or {}
    return wanted.items() <= labels.items() and all(
        _holds(one, labels) for one in selector.get("matchExpressions") or []
    )


def _holds(expression: dict[str, Any], labels: Labels) -> bool:
    value = labels.get(expression["key"])
    values: list[str | None] = expression.get("values") or []
    match expression["operator"]:
        case "In":
            return value in values
        case "NotIn":
            return value not in values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
        case operator:
            raise ValueError(f"{operator} is no operator of a label selector")
