"""TLS and tokens as values: what the pods mount and are told, and what stays as it is without."""

import pytest

from chart.rendering import Object, environment, pod_of, render

pytestmark = pytest.mark.needs("helm")

ALL = ("tls.secretName=churn-tls", "tls.clientCASecret.name=clients", "auth.tokensSecret.name=callers")
PLACE = "/run/modelroll/access"


def mounted(one: Object) -> dict[str, str]:
    """Where each Secret is, by the name of its volume."""
    found = pod_of(one)
    volumes = {volume["name"]: volume["secret"] for volume in found.get("volumes", []) if "secret" in volume}
    mounts = found["containers"][0].get("volumeMounts", [])
    assert all(mount["readOnly"] for mount in mounts if mount["name"] in volumes)
    assert not [mount for mount in mounts if "subPath" in mount], "what is mounted so never changes"
    return {volumes[mount["name"]]["secretName"]: mount["mountPath"] for mount in mounts if mount["name"] in volumes}


def test_the_server_reads_each_secret_where_it_is_mounted() -> None:
    server = render(*ALL)["Deployment", "churn"]
    assert mounted(server) == {
        "churn-tls": f"{PLACE}/tls",
        "clients": f"{PLACE}/client-ca",
        "callers": f"{PLACE}/tokens",
    }
    told = environment(server)
    assert (told["TLS_DIR"], told["TOKENS_DIR"]) == (f"{PLACE}/tls", f"{PLACE}/tokens")
    assert told["TLS_CLIENT_CA"] == f"{PLACE}/client-ca/ca.crt"


def test_a_key_of_another_name_is_mounted_as_the_one_that_the_server_reads() -> None:
    server = render(*ALL, "tls.clientCASecret.key=clients.pem")["Deployment", "churn"]
    (volume,) = [one for one in pod_of(server)["volumes"] if one["name"] == "client-ca"]
    assert volume["secret"]["items"] == [{"key": "clients.pem", "path": "ca.crt"}]


def test_without_them_nothing_is_mounted_or_told() -> None:
    objects = render()
    for key in (("Deployment", "churn"), ("Pod", "churn-test-predict")):
        assert mounted(objects[key]) == {}
        assert not {"TLS_DIR", "TLS_CLIENT_CA", "TOKENS_DIR", "TRUSTED", "TOKENS"} & set(environment(objects[key]))


def test_services_say_that_tls_is_spoken_and_the_management_port_stays_as_it_is() -> None:
    objects = render(*ALL)
    ports = {port["name"]: port.get("appProtocol") for port in objects["Service", "churn"]["spec"]["ports"]}
    assert ports == {"http": "https", "grpc": "https"}
    assert objects["Service", "churn-grpc"]["spec"]["ports"][0]["appProtocol"] == "https"
    (port,) = objects["Service", "churn-management"]["spec"]["ports"]
    assert "appProtocol" not in port
    probes = [
        pod_of(objects["Deployment", "churn"])["containers"][0][f"{kind}Probe"] for kind in ("liveness", "readiness")
    ]
    assert [(one["httpGet"]["port"], one["httpGet"].get("scheme")) for one in probes] == [("management", None)] * 2
    plain = {port["name"]: port.get("appProtocol") for port in render()["Service", "churn"]["spec"]["ports"]}
    assert plain["grpc"] == "kubernetes.io/h2c"


def test_the_test_pod_trusts_the_certificate_shows_a_token_and_has_no_key() -> None:
    test = render(*ALL)["Pod", "churn-test-predict"]
    assert environment(test)["SERVICE"] == "https://churn:8000"
    assert mounted(test) == {"churn-tls": f"{PLACE}/tls", "callers": f"{PLACE}/tokens"}
    (tls,) = [one["secret"] for one in pod_of(test)["volumes"] if one["name"] == "tls"]
    assert [item["key"] for item in tls["items"]] == ["tls.crt"]
