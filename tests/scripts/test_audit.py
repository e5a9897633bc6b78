"""The audit says how many pins it could look up, and is not content where that is none."""

from scripts.audit import Audit, read, verdict

SKIPPED = {"name": "torch", "skip_reason": "Dependency not found on PyPI"}
CLEAN = {"name": "rich", "version": "14.0", "vulns": []}
FLAW = {"id": "PYSEC-1", "fix_versions": ["3.1.4"]}
VULNERABLE = {"name": "jinja2", "version": "3.1.2", "vulns": [FLAW]}


def test_an_index_that_knows_no_package_is_not_a_clean_bill_of_health() -> None:
    audit = read({"dependencies": [SKIPPED, SKIPPED]})
    code, words = verdict("pins.txt", audit, service="pypi")
    assert code == 2
    assert "0 of 2 pins looked up" in words and "make audit SERVICE=osv" in words


def test_a_vulnerable_pin_is_named_with_the_version_that_mends_it() -> None:
    audit = read({"dependencies": [CLEAN, VULNERABLE, SKIPPED]})
    assert audit == Audit(3, ["torch"], ["jinja2 3.1.2: PYSEC-1, mended in 3.1.4"])
    assert verdict("pins.txt", audit, service="pypi")[0] == 1


def test_all_pins_looked_up_and_none_vulnerable_is_said_so() -> None:
    code, words = verdict("pins.txt", read({"dependencies": [CLEAN]}), service="osv")
    assert (code, words.splitlines()[1].strip()) == (0, "none is known to be vulnerable")
