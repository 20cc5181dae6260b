"""reports/paper.yaml: its claims are about cells that the tables have."""

import re

from bench.report.paper.publication import QUANTITIES, paper


def test_each_claim_has_its_own_id_and_either_tests_or_a_reason_to_have_none():
    claims = paper().claims
    assert len({claim.id for claim in claims}) == len(claims) == 50
    assert all(claim.says and claim.where and bool(claim.tests) != bool(claim.untestable) for claim in claims)


def test_each_condition_names_cells_of_the_tables_and_compares_them_with_others():
    known = {
        "teacher": {name for table in paper().tables for name in table.teachers},
        "student": {*paper().columns},
        "epochs": {*paper().epochs},
    }
    for test in (test for claim in paper().claims for test in claim.tests):
        keys, others = {*QUANTITIES[test.quantity]}, test.others
        replaced = others.model_fields_set if others else set()
        assert test.cells.model_fields_set == keys and test.bounds, test
        assert all({*names} <= known[key] for cells in (test.cells, others) if cells for key, names in cells), test
        assert bool(others) == bool(replaced) and replaced <= keys, test
        if others:
            assert any(not {*getattr(others, key)} & {*getattr(test.cells, key)} for key in replaced), test
        elif test.operator:
            assert test.quantity in ("accuracy", "deployed"), test  # a teacher itself has nothing else
        assert test.operator != "over" or "about" not in test.bounds, test


def test_quotations_are_short():
    quotations = [part for claim in paper().claims for part in re.findall(r'"([^"]+)"', claim.says)]
    assert len(quotations) > 30 and all(len(part.split()) < 25 for part in quotations)
