"""JSON with a checksum of its own content."""

import json
import random

import pytest

from bench.kit.checksum import seal, unseal

CONTENT = {"z": 1, "a": [0.1, None, True, "é", {"deep": 1e-300}], "n": 12345678901234567890}


def test_what_was_sealed_is_read_back_however_it_is_laid_out():
    text = seal(CONTENT)
    assert unseal(text) == CONTENT and list(json.loads(text)) == [*CONTENT, "sha256"]
    line = seal(CONTENT, indent=None)
    assert unseal(line) == CONTENT and line.count("\n") == 1
    laid_out = json.dumps(json.loads(text), indent=4, sort_keys=True).replace("\n", "\r\n")
    assert unseal(laid_out) == CONTENT


def test_numbers_that_json_does_not_have_survive():
    content = unseal(seal({"nan": float("nan"), 5: float("inf")}))
    assert content["nan"] != content["nan"] and content["5"] == float("inf")


def test_no_flipped_bit_changes_what_is_read():
    data, chance = seal(CONTENT).encode(), random.Random(0)
    refused = 0
    for _ in range(2000):
        place = chance.randrange(len(data))
        flipped = data[:place] + bytes([data[place] ^ 1 << chance.randrange(8)]) + data[place + 1 :]
        try:
            assert unseal(flipped.decode()) == CONTENT  # 1E-300 is 1e-300
        except ValueError:
            refused += 1
    assert refused > 1000


@pytest.mark.parametrize("text", ["", "{", "[]", "1", "{}", '{"a": 1}', '{"a": 1, "sha256": null}'])
def test_what_was_never_sealed_is_refused(text):
    with pytest.raises(ValueError):
        unseal(text)
