"""`python -m benchmarks [NAME …]`: measure, print one JSON object of figures, say on stderr what is going on."""

import json
import sys

from benchmarks import audit, engine, finding, intake, line
from benchmarks.figures import Bench

# Which bench measures which figures.
BENCHES: dict[Bench, tuple[str, ...]] = {
    engine.five_steps: (
        "engine.five_steps",
        "engine.share_of_write_limit",
        "engine.commits_per_run",
        "engine.cpu_ms_per_run",
    ),
    engine.claiming: ("engine.claim_ms_50k",),
    engine.crowd: ("engine.pages_p99_ms_50k", "engine.urgent_case_s_50k"),
    engine.memory: ("engine.memory_growth_mb",),
    intake.acknowledging: ("intake.ack", "intake.ack_p99_ms"),
    audit.entries: ("audit.entries",),
    audit.verifying: ("audit.verify_1m_s",),
    audit.reading: ("audit.page_ms",),
    finding.million: ("queue.page_1m", "queue.news_1m_ms", "queue.search_1m_ms", "case.open_1m_ms", "review.decide_ms"),
    line.instant_refunds: ("line.instant_refunds", "line.cpu_ms_per_refund"),
}


def main(wanted: list[str]) -> int:
    names = {name for figures in BENCHES.values() for name in figures}
    unknown = sorted(set(wanted) - names)
    if unknown:
        print(f"There is no figure {', '.join(unknown)}; there are {', '.join(sorted(names))}.", file=sys.stderr)
        return 2
    results = {}
    for bench, figures in BENCHES.items():
        if wanted and not set(wanted) & set(figures):
            continue
        print(f"measuring {', '.join(figures)} …", file=sys.stderr)
        for figure in bench():
            if not wanted or figure.name in wanted:
                results[figure.name] = figure.as_data()
    print(json.dumps(results, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
