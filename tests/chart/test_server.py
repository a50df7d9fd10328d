"""The server's objects: what each template renders, and what each condition changes."""

import json

import pytest

from chart.rendering import environment, pod_of, render, template

pytestmark = pytest.mark.needs("helm")

DEPLOYMENT = ("Deployment", "churn")
DIGEST = "sha256:" + "0" * 64


def test_the_default_objects_are_these() -> None:
    assert set(render()) == {
        ("Deployment", "churn"),
        ("Deployment", "churn-operator"),
        ("HorizontalPodAutoscaler", "churn"),
        ("NetworkPolicy", "churn"),
        ("NetworkPolicy", "churn-operator"),
        ("PersistentVolumeClaim", "churn-models"),
        ("Pod", "churn-test-predict"),
        ("PodDisruptionBudget", "churn"),
        ("Role", "churn-operator"),
        ("RoleBinding", "churn-operator"),
        ("Service", "churn"),
        ("Service", "churn-grpc"),
        ("Service", "churn-management"),
        ("ServiceAccount", "churn"),
        ("ServiceAccount", "churn-operator"),
    }


def test_rendering_twice_gives_the_same_bytes() -> None:
    settings = ("podLabels.b=2", "podLabels.a=1", "commonLabels.z=1", "commonLabels.y=2")
    assert template(*settings).stdout == template(*settings).stdout


@pytest.mark.parametrize("setting", ["podAnnotations.a=b", "operator.enabled=false", "load=lazy"])
def test_no_object_carries_an_annotation_of_the_operator(setting: str) -> None:
    for one in render(setting).values():
        for metadata in (one["metadata"], one["spec"].get("template", {}).get("metadata", {}) if "spec" in one else {}):
            assert not [key for key in metadata.get("annotations", {}) if key.startswith("modelroll.dev/")]


def test_the_deployment_is_labelled_with_the_model() -> None:
    assert render()[DEPLOYMENT]["metadata"]["labels"]["modelroll.dev/model"] == "churn"
    named = render("model.name=telco")[DEPLOYMENT]
    assert named["metadata"]["labels"]["modelroll.dev/model"] == "telco"
    assert environment(named)["MODEL_NAME"] == "telco"
    assert named["spec"]["selector"] == render()[DEPLOYMENT]["spec"]["selector"], "a selector can never change"


def test_fullname_override_names_the_deployment_and_its_configmap() -> None:
    deployment = render("fullnameOverride=other")["Deployment", "other"]
    sources = next(one for one in pod_of(deployment)["volumes"] if one["name"] == "target")["projected"]["sources"]
    assert sources[1]["configMap"]["name"] == "other-target"


def test_every_variable_of_the_server_is_set() -> None:
    assert environment(render(f"model.digest={DIGEST}")[DEPLOYMENT]) == {
        "MODEL_NAME": "churn",
        "MODEL_PATH": "churn/1.2.0",
        "MODEL_DIGEST": DIGEST,
        "MODEL_ROOT": "/models",
        "TARGET_DIR": "/run/modelroll/target",
        "STATE_DIR": "/run/modelroll/state",
        "ARTIFACT_POLICY": "digest",
        "LOAD": "preload",
        "KEEP_PREVIOUS": "true",
        "EXTRA_FIELDS": "refuse",
        "PAGE": "true",
        "MAX_BATCH_SIZE": "32",
        "MAX_BATCH_DELAY_MS": "0",
        "DRIFT": "true",
        "DRIFT_WINDOW": "3600",
        "HOST": "0.0.0.0",
        "PORT": "8000",
        "MANAGEMENT_PORT": "8081",
        "GRPC_PORT": "50051",
        "GRPC_MAX_RECEIVE_BYTES": "67108864",
        "GRPC_MAX_SEND_BYTES": "67108864",
        "WORKERS": "1",
        "DRAIN_DELAY": "6",
        "UNREADY_AFTER": "7",
        "SHUTDOWN_TIMEOUT": "30",
        "LOG_LEVEL": "info",
        "LOG_FORMAT": "json",
        "LOG_REQUESTS": "false",
        "POD_NAME": {"fieldRef": {"fieldPath": "metadata.name"}},
        "POD_UID": {"fieldRef": {"fieldPath": "metadata.uid"}},
    }


@pytest.mark.parametrize(
    ("setting", "name", "value"),
    [
        ("artifactPolicy=any", "ARTIFACT_POLICY", "any"),
        ("load=lazy", "LOAD", "lazy"),
        ("keepPrevious=false", "KEEP_PREVIOUS", "false"),
        ("extraFields=ignore", "EXTRA_FIELDS", "ignore"),
        ("page=false", "PAGE", "false"),
        ("batching.maxSize=64", "MAX_BATCH_SIZE", "64"),
        ("grpc.enabled=false", "GRPC_PORT", "off"),
        ("grpc.maxReceiveBytes=1024", "GRPC_MAX_RECEIVE_BYTES", "1024"),
        ("batching.maxDelayMs=2", "MAX_BATCH_DELAY_MS", "2"),
        ("cache.size=64Mi", "CACHE_SIZE", "64Mi"),
        ("drift.windowSeconds=604800", "DRIFT_WINDOW", "604800"),
        ("cache.url=redis://redis:6379/0", "CACHE_URL", "redis://redis:6379/0"),
        ("drain.delaySeconds=2", "DRAIN_DELAY", "2"),
        ("drain.shutdownTimeoutSeconds=10", "SHUTDOWN_TIMEOUT", "10"),
        ("probes.readiness.periodSeconds=2", "UNREADY_AFTER", "12"),
        ("log.level=debug", "LOG_LEVEL", "debug"),
        ("log.format=console", "LOG_FORMAT", "console"),
        ("log.requests=true", "LOG_REQUESTS", "true"),
        ('env=[{"name":"OMP_NUM_THREADS","value":"1"}]', "OMP_NUM_THREADS", "1"),
    ],
)
def test_a_value_reaches_the_server(setting: str, name: str, value: str) -> None:
    assert environment(render(setting)[DEPLOYMENT])[name] == value


PUBLIC_KEY = "-----BEGIN PUBLIC KEY-----\nMFkw\n-----END PUBLIC KEY-----\n"


def test_the_key_whose_signatures_count_reaches_the_server_line_by_line() -> None:
    settings = ("artifactPolicy=signed", f"signing={json.dumps({'publicKey': PUBLIC_KEY})}")
    variables = environment(render(*settings)[DEPLOYMENT])
    assert (variables["ARTIFACT_POLICY"], variables["SIGNING_PUBLIC_KEY"]) == ("signed", PUBLIC_KEY)


def test_or_it_comes_from_a_secret() -> None:
    settings = ("artifactPolicy=signed", "signing.publicKeySecret.name=keys", "signing.publicKeySecret.key=ours.pem")
    variables = environment(render(*settings)[DEPLOYMENT])
    assert variables["SIGNING_PUBLIC_KEY"] == {"secretKeyRef": {"name": "keys", "key": "ours.pem"}}


def test_the_cache_is_off_unless_there_is_a_size_or_a_redis() -> None:
    off = environment(render("cache.ttlSeconds=60")[DEPLOYMENT])
    assert not [name for name in off if name.startswith("CACHE_")]
    for setting in ("cache.size=1Mi", "cache.url=redis://redis", "cache.urlSecret.name=redis"):
        assert environment(render("cache.ttlSeconds=60", setting)[DEPLOYMENT])["CACHE_TTL"] == "60"


def test_what_is_secret_about_the_cache_comes_from_secrets() -> None:
    settings = ("cache.urlSecret.name=redis", "cache.keySecret.name=signing", "cache.keySecret.key=hmac")
    variables = environment(render(*settings)[DEPLOYMENT])
    assert variables["CACHE_URL"] == {"secretKeyRef": {"name": "redis", "key": "url"}}
    assert variables["CACHE_KEY"] == {"secretKeyRef": {"name": "signing", "key": "hmac"}}


def test_a_number_of_workers_reaches_the_server() -> None:
    variables = environment(render("workers=3", "grpc.enabled=false")[DEPLOYMENT])
    assert (variables["WORKERS"], variables["GRPC_PORT"]) == ("3", "off")


@pytest.mark.parametrize(
    ("cpu", "workers"),
    [("250m", "1"), ("1", "1"), ("1900m", "1"), ("2", "2"), ("2500m", "2"), ("3.5", "3"), ("16", "16"), ("0.5", "1")],
)
def test_as_many_workers_as_whole_cpus_are_requested(cpu: str, workers: str) -> None:
    target = "autoscaling.targetCPUUtilizationPercentage=50"
    variables = environment(
        render("workers=auto", "grpc.enabled=false", f"resources.requests.cpu={cpu}", target)[DEPLOYMENT]
    )
    assert (variables["WORKERS"], variables["GRPC_PORT"]) == (workers, "off")


def test_without_a_digest_there_is_no_variable_for_it() -> None:
    assert "MODEL_DIGEST" not in environment(render()[DEPLOYMENT])


def test_the_three_files_come_from_one_projected_volume() -> None:
    deployment = render()[DEPLOYMENT]
    volume = next(one for one in pod_of(deployment)["volumes"] if one["name"] == "target")
    annotations, settled = volume["projected"]["sources"]
    assert {one["path"]: one["fieldRef"]["fieldPath"] for one in annotations["downwardAPI"]["items"]} == {
        "target": "metadata.annotations['modelroll.dev/target']",
        "move": "metadata.annotations['modelroll.dev/move']",
    }
    assert settled == {
        "configMap": {"name": "churn-target", "optional": True, "items": [{"key": "settled", "path": "settled"}]}
    }


def test_mounts_match_the_environment_and_models_are_read_only() -> None:
    deployment = render()[DEPLOYMENT]
    mounts = {one["name"]: one for one in pod_of(deployment)["containers"][0]["volumeMounts"]}
    variables = environment(deployment)
    assert mounts["models"] == {"name": "models", "mountPath": variables["MODEL_ROOT"], "readOnly": True}
    assert mounts["target"]["mountPath"] == variables["TARGET_DIR"]
    assert mounts["state"]["mountPath"] == variables["STATE_DIR"]
    assert {one["name"] for one in pod_of(deployment)["volumes"]} == set(mounts)
    for volume in pod_of(deployment)["volumes"]:
        assert "sizeLimit" in volume.get("emptyDir", {"sizeLimit": ""}), f"{volume['name']} may fill the node"


def test_no_pod_is_taken_away_before_its_successor_is_ready() -> None:
    strategy = render("rollout.maxSurge=50%")[DEPLOYMENT]["spec"]["strategy"]
    assert strategy == {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "50%", "maxUnavailable": 0}}


def test_probes_ask_the_management_port() -> None:
    container = pod_of(render("probes.readiness.failureThreshold=7")[DEPLOYMENT])["containers"][0]
    asked = {kind: container[f"{kind}Probe"]["httpGet"] for kind in ("startup", "liveness", "readiness")}
    assert asked == {
        "startup": {"path": "/livez", "port": "management"},
        "liveness": {"path": "/livez", "port": "management"},
        "readiness": {"path": "/readyz", "port": "management"},
    }
    assert container["readinessProbe"]["periodSeconds"] == 1
    assert container["readinessProbe"]["failureThreshold"] == 7
    assert {one["name"]: one["containerPort"] for one in container["ports"]} == {
        "http": 8000,
        "management": 8081,
        "grpc": 50051,
    }


def test_the_grace_period_outlasts_the_drain() -> None:
    deployment = render()[DEPLOYMENT]
    variables = environment(deployment)
    drain = 2 * float(variables["DRAIN_DELAY"]) + sum(
        float(variables[one]) for one in ("UNREADY_AFTER", "SHUTDOWN_TIMEOUT")
    )
    assert pod_of(deployment)["terminationGracePeriodSeconds"] > drain


@pytest.mark.parametrize(
    ("settings", "image"),
    [
        ((), "modelroll-server:0.2.0"),
        (
            ("image.repository=registry.example.com:5000/server", "image.tag=dev"),
            "registry.example.com:5000/server:dev",
        ),
        (("image.tag=dev", f"image.digest={DIGEST}"), f"modelroll-server@{DIGEST}"),
    ],
)
def test_the_image_is_named_by_tag_or_digest(settings: tuple[str, ...], image: str) -> None:
    assert pod_of(render(*settings)[DEPLOYMENT])["containers"][0]["image"] == image


def test_under_the_autoscaler_the_deployment_has_no_replicas() -> None:
    objects = render('autoscaling.behavior={"scaleDown":{"stabilizationWindowSeconds":15}}')
    assert "replicas" not in objects[DEPLOYMENT]["spec"]
    spec = objects["HorizontalPodAutoscaler", "churn"]["spec"]
    assert (spec["minReplicas"], spec["maxReplicas"]) == (2, 10)
    assert spec["metrics"][0]["resource"] == {
        "name": "cpu",
        "target": {"type": "Utilization", "averageUtilization": 70},
    }
    assert spec["behavior"]["scaleDown"]["stabilizationWindowSeconds"] == 15
    assert spec["scaleTargetRef"] == {"apiVersion": "apps/v1", "kind": "Deployment", "name": "churn"}


@pytest.mark.parametrize(("setting", "replicas"), [("replicas=3", 3), ("replicas=0", 0), ("replicas=null", None)])
def test_without_the_autoscaler_replicas_is_what_was_asked(setting: str, replicas: int | None) -> None:
    objects = render("autoscaling.enabled=false", setting)
    assert ("HorizontalPodAutoscaler", "churn") not in objects
    assert objects[DEPLOYMENT]["spec"].get("replicas") == replicas


def test_a_load_balancer_is_for_the_clients_service_alone() -> None:
    objects = render("service.type=LoadBalancer", 'service.annotations={"who":"10.0.0.0/8"}')
    types = {name: one["spec"]["type"] for (kind, name), one in objects.items() if kind == "Service"}
    assert types == {"churn": "LoadBalancer", "churn-grpc": "ClusterIP", "churn-management": "ClusterIP"}
    assert objects["Service", "churn"]["metadata"]["annotations"] == {"who": "10.0.0.0/8"}


def test_the_clients_service_never_opens_the_management_port() -> None:
    objects = render("service.type=NodePort", "service.nodePort=30080", "service.port=80")
    clients = objects["Service", "churn"]["spec"]
    assert clients["type"] == "NodePort"
    http, grpc = clients["ports"]
    assert http == {"name": "http", "port": 80, "targetPort": "http", "nodePort": 30080}
    assert grpc == {"name": "grpc", "port": 50051, "targetPort": "grpc", "appProtocol": "kubernetes.io/h2c"}
    assert objects["Service", "churn-management"]["spec"]["type"] == "ClusterIP"
    labels = objects[DEPLOYMENT]["spec"]["template"]["metadata"]["labels"]
    for name in ("churn", "churn-management"):
        assert objects["Service", name]["spec"]["selector"].items() <= labels.items()


def test_the_disruption_budget_can_be_left_out() -> None:
    spec = render("podDisruptionBudget.maxUnavailable=50%")["PodDisruptionBudget", "churn"]["spec"]
    assert spec["maxUnavailable"] == "50%"
    assert spec["unhealthyPodEvictionPolicy"] == "AlwaysAllow"
    assert ("PodDisruptionBudget", "churn") not in render("podDisruptionBudget.enabled=false")


def test_the_chart_makes_a_claim_and_keeps_it() -> None:
    settings = ("persistence.size=5Gi", "persistence.accessMode=ReadWriteMany", "persistence.storageClassName=-")
    claim = render(*settings)["PersistentVolumeClaim", "churn-models"]
    assert claim["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
    assert claim["spec"] == {
        "accessModes": ["ReadWriteMany"],
        "storageClassName": "",
        "resources": {"requests": {"storage": "5Gi"}},
    }
    assert "storageClassName" not in render()["PersistentVolumeClaim", "churn-models"]["spec"]


def test_an_existing_claim_is_mounted_and_none_is_made() -> None:
    objects = render("persistence.existingClaim=models")
    assert not [name for kind, name in objects if kind == "PersistentVolumeClaim"]
    assert pod_of(objects[DEPLOYMENT])["volumes"][0]["persistentVolumeClaim"] == {"claimName": "models"}


def test_a_service_account_can_be_brought_along() -> None:
    objects = render("serviceAccount.create=false", "serviceAccount.name=mine")
    assert ("ServiceAccount", "churn") not in objects
    assert pod_of(objects[DEPLOYMENT])["serviceAccountName"] == "mine"
    bare = render("serviceAccount.create=false")
    assert pod_of(bare[DEPLOYMENT])["serviceAccountName"] == "default"


def test_what_places_the_pods_is_passed_on() -> None:
    spec = pod_of(
        render(
            "nodeSelector.disk=ssd",
            "priorityClassName=high",
            "podLabels.team=risk",
            'tolerations=[{"operator":"Exists"}]',
            'affinity={"nodeAffinity":{}}',
            'imagePullSecrets=[{"name":"registry"}]',
        )[DEPLOYMENT]
    )
    assert spec["nodeSelector"] == {"disk": "ssd"}
    assert spec["priorityClassName"] == "high"
    assert spec["tolerations"] == [{"operator": "Exists"}]
    assert spec["affinity"] == {"nodeAffinity": {}}
    assert spec["imagePullSecrets"] == [{"name": "registry"}]


def test_helm_test_runs_where_the_servers_do() -> None:
    settings = (
        "nodeSelector.disk=ssd",
        "priorityClassName=high",
        'tolerations=[{"operator":"Exists"}]',
        'affinity={"nodeAffinity":{}}',
    )
    objects = render(*settings)
    server, test = pod_of(objects[DEPLOYMENT]), pod_of(objects["Pod", "churn-test-predict"])
    for field in ("nodeSelector", "priorityClassName", "tolerations", "affinity"):
        assert test[field] == server[field], field


def test_pods_prefer_to_be_apart_and_insist_on_nothing() -> None:
    spread = pod_of(render()[DEPLOYMENT])["topologySpreadConstraints"]
    assert {one["whenUnsatisfiable"] for one in spread} == {"ScheduleAnyway"}
    assert all(one["labelSelector"]["matchLabels"]["app.kubernetes.io/component"] == "server" for one in spread)
    assert "topologySpreadConstraints" not in pod_of(render("topologySpreadConstraints=[]")[DEPLOYMENT])


def test_resources_leave_out_what_is_null() -> None:
    resources = pod_of(render("resources.limits.memory=2Gi")[DEPLOYMENT])["containers"][0]["resources"]
    assert resources == {"requests": {"cpu": "250m", "memory": "384Mi"}, "limits": {"memory": "2Gi"}}


def test_labels_and_annotations_reach_their_objects() -> None:
    objects = render(
        "commonLabels.owner=risk",
        "podAnnotations.note=yes",
        "service.annotations.note=yes",
        "serviceAccount.annotations.note=yes",
    )
    assert all(one["metadata"]["labels"]["owner"] == "risk" for one in objects.values())
    assert all(one["metadata"]["labels"]["app.kubernetes.io/part-of"] == "modelroll" for one in objects.values())
    assert objects[DEPLOYMENT]["spec"]["template"]["metadata"]["annotations"] == {"note": "yes"}
    assert objects["Service", "churn"]["metadata"]["annotations"] == {"note": "yes"}
    assert objects["ServiceAccount", "churn"]["metadata"]["annotations"] == {"note": "yes"}


def test_the_test_pod_cleans_up_after_itself() -> None:
    test = render("service.port=80")["Pod", "churn-test-predict"]
    assert test["metadata"]["annotations"] == {
        "helm.sh/hook": "test",
        "helm.sh/hook-delete-policy": "before-hook-creation,hook-succeeded",
    }
    urls = {one["name"]: one["value"] for one in test["spec"]["containers"][0]["env"]}
    assert urls == {"SERVICE": "http://churn:80", "MANAGEMENT": "http://churn-management:8081"}
    compile(test["spec"]["containers"][0]["args"][0], "test_predict.py", "exec")


def test_without_grpc_nothing_of_it_is_rendered() -> None:
    objects = render("grpc.enabled=false")
    assert ("Service", "churn-grpc") not in objects
    assert [one["name"] for one in objects["Service", "churn"]["spec"]["ports"]] == ["http"]
    (container,) = pod_of(objects[DEPLOYMENT])["containers"]
    assert [one["name"] for one in container["ports"]] == ["http", "management"]


def test_grpc_clients_find_each_pod_behind_a_service_without_an_address() -> None:
    assert render()["Service", "churn-grpc"]["spec"]["clusterIP"] == "None"
