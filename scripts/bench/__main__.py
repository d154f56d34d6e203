"""Measure approvals, then what people ask for most; ratios first."""

import sys

from scripts.bench import approvals, sizes

if __name__ == "__main__":
    failed = [measure.main() for measure in (approvals, sizes)]
    sys.exit(max(failed))
