"""Look up known vulnerabilities of the pinned packages, and say how many could be looked up.

    make audit                              advisories of PyPI; needs a network
    make audit SERVICE=osv                  advisories of osv.dev

pip-audit itself says 'No known vulnerabilities found' and exits with 0 if the index knows nothing
about any package, as mirrors do. Here this is a failure. Exit code 0: every pin was looked up and
none is known to be vulnerable; 1: some are vulnerable; 2: some pins were not looked up.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[1]
ELSEWHERE = {"pypi": "osv", "osv": "pypi"}


class Audit(NamedTuple):
    """The results for the pins of one file."""

    pins: int
    skipped: list[str]
    vulnerable: list[str]


def read(report: dict[str, Any]) -> Audit:
    """Parse a report of `pip-audit --format json`."""
    found = report["dependencies"]
    vulnerable = [
        f"{item['name']} {item['version']}: {flaw['id']}, mended in "
        + (", ".join(flaw["fix_versions"]) or "no version yet")
        for item in found
        for flaw in item.get("vulns", [])
    ]
    return Audit(len(found), [i["name"] for i in found if "skip_reason" in i], vulnerable)


def verdict(name: str, audit: Audit, *, service: str) -> tuple[int, str]:
    """Return an exit code, and its meaning in words."""
    looked_up = audit.pins - len(audit.skipped)
    lines = [f"{name}: {looked_up} of {audit.pins} pins looked up at {service}"]
    lines += [f"  {line}" for line in audit.vulnerable]
    if audit.skipped:
        lines.append(
            f"  not known there: {', '.join(audit.skipped[:5])}"
            + (f" and {len(audit.skipped) - 5} more" if len(audit.skipped) > 5 else "")
            + f"; nothing can be said of these (a mirror of PyPI has no advisories: run it where "
            f"pypi.org itself answers, or 'make audit SERVICE={ELSEWHERE[service]}')"
        )
    elif not audit.vulnerable:
        lines.append("  none is known to be vulnerable")
    return (1 if audit.vulnerable else 2 if audit.skipped else 0), "\n".join(lines)


def ask(pip_audit: str, constraints: Path, *, service: str) -> tuple[int, str]:
    """Run pip-audit on a file of pins."""
    command = [pip_audit, "--no-deps", "--disable-pip", "--format", "json", "--progress-spinner"]
    command += ["off", "--timeout", "30", "--vulnerability-service", service]
    done = subprocess.run(
        [*command, "--requirement", str(constraints)], capture_output=True, text=True, check=False
    )
    try:
        report = json.loads(done.stdout)
    except ValueError:
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        return 2, (
            f"{constraints.name}: nothing was looked up, {service} did not answer ({last}); run it "
            f"where there is a network, or 'make audit SERVICE={ELSEWHERE[service]}'"
        )
    return verdict(constraints.name, read(report), service=service)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pip-audit", default="pip-audit", help="the program")
    parser.add_argument("--service", choices=sorted(ELSEWHERE), default="pypi")
    arguments = parser.parse_args()
    codes = []
    for name in ("constraints-cpu.txt", "constraints-gpu.txt"):
        code, words = ask(arguments.pip_audit, ROOT / name, service=arguments.service)
        print(words, flush=True)
        codes.append(code)
    sys.exit(1 if 1 in codes else max(codes))


if __name__ == "__main__":
    main()
