"""The catalog: torch-free, pinned by hash, and clear about what is wrong."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from importlib import resources

import pytest

from services.errors import BadInput, CorruptData
from services.shape.basis_file import pack, unpack
from services.shape.catalog import DEFAULT_BASIS, basis_ids, basis_info, check_hash, packed_basis

DATA = resources.files("services.shape") / "data"


def test_info_matches_the_loaded_basis(basis):
    info = basis_info(DEFAULT_BASIS)
    assert basis_ids()[0] == DEFAULT_BASIS
    assert (info.gene_names, info.sha256) == (basis.gene_names, basis.sha256)
    assert (info.vertex_count, info.triangle_count) == (len(basis.neutral), len(basis.triangles))
    assert info.landmark_names == tuple(basis.landmarks)
    assert len(set(info.gene_names)) == len(info.gene_names)
    assert info.licence == "CC0-1.0"


def test_arrays_are_read_only(basis):
    for array in (basis.neutral, basis.positive, basis.negative, basis.triangles):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0


def test_an_unknown_id_names_the_nearest():
    with pytest.raises(BadInput, match="did you mean 'makehuman-mask-1'"):
        basis_info("makehuman-mask")


def test_one_changed_byte_is_noticed():
    data = bytearray((DATA / f"{DEFAULT_BASIS}.npz").read_bytes())
    check_hash(bytes(data), DEFAULT_BASIS, basis_info(DEFAULT_BASIS).sha256)
    data[len(data) // 2] ^= 1
    with pytest.raises(CorruptData, match="expected"):
        check_hash(bytes(data), DEFAULT_BASIS, basis_info(DEFAULT_BASIS).sha256)


@pytest.mark.parametrize("data", [b"", b"not a zip", b"PK\x03\x04 cut off"])
def test_what_is_no_basis_file_is_one_typed_error(data):
    with pytest.raises(CorruptData, match=r"x\.npz is not a basis file"):
        unpack(data, "x.npz")


def test_a_packed_basis_survives_a_round_trip():
    packed = packed_basis(DEFAULT_BASIS)
    data = pack(packed)
    assert data == pack(packed)
    again = unpack(data, "round trip")
    assert again.header == packed.header
    for name in ("neutral", "triangles", "landmarks", "sides", "starts", "vertex", "steps"):
        assert (getattr(again, name) == getattr(packed, name)).all()


def test_provenance_describes_the_file_that_ships():
    provenance = json.loads((DATA / f"{DEFAULT_BASIS}.provenance.json").read_text("utf-8"))
    data = (DATA / f"{DEFAULT_BASIS}.npz").read_bytes()
    assert provenance["sha256"] == hashlib.sha256(data).hexdigest()
    assert provenance["licence"] == "CC0-1.0"
    assert provenance["greatest_quantization_error_mm"] < 0.02
    assert len(data) < 1_000_000


def test_the_catalog_starts_without_torch():
    code = (
        "import sys; from services.shape.catalog import basis_info; basis_info('makehuman-mask-1'); "
        "sys.exit(int('torch' in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
