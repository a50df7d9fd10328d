"""The compiled runtime: what it loads, what it refuses, and that scikit-learn has no part in it."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import msgspec
import numpy as np
import onnx
import pandas as pd
import pytest
from onnx import helper
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression

from both_runtimes import both
from modelroll_server.artifact import manifest as manifests
from modelroll_server.artifact.opening import open_artifact
from modelroll_server.artifact.policy import Policy
from modelroll_server.errors import DigestMismatch, LoadFailed
from modelroll_server.runtimes import gates
from modelroll_server.runtimes.loading import load
from modelroll_server.runtimes.onnx import OnnxRuntime
from modelroll_server.schema import Input, Schema
from modelroll_server.schema.json import JsonDecoder
from modelroll_server.tensors import Datatype, Table
from server_process import serving

CHURN = Path(__file__).parents[3] / "models/churn"
ROW = json.loads((CHURN / "row.json").read_text())
HEAVY = ("sklearn", "pandas", "scipy", "joblib", "pyarrow", "onnx")
NUMBERS = [Input(name="a", datatype=Datatype.FP64), Input(name="b", datatype=Datatype.FP64)]
FRAME = pd.DataFrame({"a": [0.0, 1.0, 2.0, 3.0] * 5, "b": [1.0, 0.0, 5.0, 4.0] * 5})
LABELS = np.array(["no", "no", "yes", "yes"] * 5)


def copied(place: Path) -> Path:
    return Path(shutil.copytree(CHURN / "2.0.0", place))


def rewritten(place: Path, edit: Any) -> Path:
    file = place / manifests.NAME
    document = msgspec.json.decode(file.read_bytes())
    edit(document)
    file.write_bytes(msgspec.json.encode(document))
    return place


def test_an_artifact_is_served_by_the_first_of_its_runtimes() -> None:
    with open_artifact(CHURN / "2.0.0") as opened:
        assert load(opened).runtime.kind == "onnx"


def test_a_compiled_model_needs_no_digest_and_the_other_runtime_still_does(tmp_path: Path) -> None:
    with open_artifact(CHURN / "2.0.0", policy=Policy.DIGEST) as opened:
        load(opened)
    only = rewritten(copied(tmp_path / "m"), lambda document: document["runtimes"].pop(0))
    with open_artifact(only, policy=Policy.DIGEST) as opened, pytest.raises(Exception, match="no digest was given"):
        load(opened)


def test_a_compiled_model_is_served_whatever_scikit_learn_it_was_trained_with(tmp_path: Path) -> None:
    other = {"scikit-learn": "0.1.2", "no-such-thing": "1.0"}
    place = rewritten(copied(tmp_path / "m"), lambda document: document["runtimes"][1]["requires"].update(other))
    with open_artifact(place) as opened:
        loaded = load(opened)
    gates.check_golden(loaded.manifest, JsonDecoder(Schema(loaded.manifest.inputs)), loaded.runtime)


def test_a_changed_byte_of_a_compiled_model_is_found(tmp_path: Path) -> None:
    place = copied(tmp_path / "m")
    content = bytearray((place / "model.onnx").read_bytes())
    content[-1] ^= 1
    (place / "model.onnx").write_bytes(content)
    with open_artifact(place) as opened, pytest.raises(DigestMismatch):
        load(opened)


@pytest.mark.parametrize("data", [b"", b"no model", b"ORTM" * 100], ids=["empty", "text", "another format"])
def test_what_is_no_model_is_a_failed_load(data: bytes) -> None:
    with pytest.raises(LoadFailed, match="cannot load the model"):
        OnnxRuntime(data, NUMBERS)


@pytest.mark.parametrize(("name", "output"), [("other", "prediction"), ("doubles", "label"), ("texts", "prediction")])
def test_a_model_of_another_compiler_is_refused_by_name(name: str, output: str) -> None:
    values = [helper.make_tensor_value_info(one, onnx.TensorProto.DOUBLE, ["rows", 2]) for one in (name, output)]
    graph = helper.make_graph([helper.make_node("Identity", [name], [output])], "g", values[:1], values[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    with pytest.raises(LoadFailed, match="modelroll did not compile it"):
        OnnxRuntime(model.SerializeToString(), NUMBERS)


@pytest.mark.parametrize("location", ["weights.bin", "../weights.bin", "/proc/self/cmdline"])
def test_a_model_cannot_have_a_part_outside_of_its_file(
    location: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bytes that were hashed are the model: ONNX could name further files, and they would be read."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "weights.bin").write_bytes(np.zeros((2, 2)).tobytes())
    weights = onnx.TensorProto(name="weights", data_type=onnx.TensorProto.DOUBLE, dims=[2, 2])
    weights.data_location = onnx.TensorProto.EXTERNAL
    weights.external_data.add(key="location", value=location)
    values = [
        helper.make_tensor_value_info(one, onnx.TensorProto.DOUBLE, ["rows", 2]) for one in ("doubles", "prediction")
    ]
    node = helper.make_node("MatMul", ["doubles", "weights"], ["prediction"])
    graph = helper.make_graph([node], "g", values[:1], values[1:], [weights])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    with pytest.raises(LoadFailed, match="cannot load the model"):
        OnnxRuntime(model.SerializeToString(), NUMBERS)


@pytest.mark.parametrize("classes", [["no", "yes"], [False, True], [3, 7], [0.0, 1.0]], ids=str)
def test_labels_are_the_manifests_in_their_own_type(classes: list[Any]) -> None:
    labels = np.array(classes)[(LABELS == "yes").astype(int)]
    pair = both(LogisticRegression().fit(FRAME, labels), FRAME)
    found = pair.compiled.predict(pair.table).as_lists()[0]["prediction"]
    assert found == labels.tolist()
    assert found is not None
    assert {type(label) for label in found} == {type(classes[0])}


def test_rows_come_as_a_block_or_by_column_and_in_any_number() -> None:
    pair = both(RandomForestClassifier(3, random_state=0).fit(FRAME, LABELS), FRAME)
    block = FRAME.to_numpy()
    for table in (Table(("a", "b"), block, 20), Table(("a", "b"), tuple(block.T), 20)):
        for rows in (0, 1, 2, 20):
            assert pair.compiled.predict(table.slice(0, rows)).prediction.tolist() == LABELS[:rows].tolist()


def test_what_onnx_runtime_answers_does_not_hang_on_the_rows_beside(tmp_path: Path) -> None:
    with open_artifact(CHURN / "2.0.0") as opened:
        loaded = load(opened)
    rows = manifests.decode((CHURN / "2.0.0" / manifests.NAME).read_bytes()).golden
    assert rows is not None
    table = Schema(loaded.manifest.inputs).decode_rows(rows.rows)
    together = loaded.runtime.predict(table)
    for index in range(table.rows):
        alone = loaded.runtime.predict(table.slice(index, index + 1))
        assert alone.prediction.tolist() == together.prediction[index : index + 1].tolist()


ALONE = """
import json, sys
from pathlib import Path
from modelroll_server.artifact.opening import open_artifact
from modelroll_server.runtimes import gates
from modelroll_server.runtimes.loading import load
from modelroll_server.schema import Schema
from modelroll_server.schema.json import JsonDecoder
with open_artifact(Path(sys.argv[1])) as opened:
    loaded = load(opened)
decoder = JsonDecoder(Schema(loaded.manifest.inputs))
gates.warm_up(loaded.manifest, decoder, loaded.runtime)
gates.check_golden(loaded.manifest, decoder, loaded.runtime)
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
"""


def test_loading_and_answering_imports_nothing_that_training_needs() -> None:
    done = subprocess.run([sys.executable, "-c", ALONE, str(CHURN / "2.0.0")], check=True, capture_output=True)
    modules = set(json.loads(done.stdout))
    assert "onnxruntime" in modules
    assert not modules.intersection(HEAVY)


def test_onnx_runtime_tells_nobody_of_the_models_that_it_loads(tmp_path: Path) -> None:
    """Its telemetry, where it is on, leaves an identifier of the machine and what is yet to be sent in the home."""
    # Without CI, which turns it off by itself.
    environment = {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path)}
    subprocess.run(
        [sys.executable, "-c", ALONE, str(CHURN / "2.0.0")], check=True, capture_output=True, env=environment
    )
    assert not list(tmp_path.iterdir())


def test_a_server_maps_no_library_of_scikit_learns(tmp_path: Path) -> None:
    with serving(tmp_path / "log", str(CHURN / "2.0.0"), environment={"ARTIFACT_POLICY": "digest"}) as server:
        server.wait_for_live("2.0.0")
        assert httpx.post(f"{server.url}/predict", json=ROW).status_code == 200
        mapped = Path(f"/proc/{server.process.pid}/maps").read_text()
    assert "/onnxruntime/" in mapped
    assert not [name for name in HEAVY if f"/{name}/" in mapped]


def test_a_compiled_model_takes_one_tensor_a_datatype() -> None:
    model = onnx.load_from_string((CHURN / "1.2.0/model.onnx").read_bytes())
    shapes = {one.name: one.type.tensor_type.shape.dim[1].dim_value for one in model.graph.input}
    assert shapes == {"doubles": 2, "integers": 7, "texts": 10}
