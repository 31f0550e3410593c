"""Writes docs/configuration.md from the JSON Schema of the configuration, so that page and program cannot disagree.

`--check` writes nothing and fails if the page is not what it would write.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Final

from aggregator.engine.merges import merge_schema
from dispatcher.config import json_schema
from dispatcher.model.policy import BUILT_IN

PAGE: Final = Path(__file__).resolve().parents[1] / "docs" / "configuration.md"

SECTIONS: Final = (
    ("The file", "", ""),
    ("Workers", "Worker", "workers.<worker>"),
    ("Worker limits", "Limit", "workers.<worker>.limit"),
    ("Rates", "Rate", "workers.<worker>.limit.rate"),
    ("Faults", "Faults", "workers.<worker>.faults"),
    ("Delays on purpose", "Delay", "workers.<worker>.faults.delay"),
    ("Failures on purpose", "Abort", "workers.<worker>.faults.abort"),
    ("Policies", "Policy", "policies.<policy>"),
    ("Retries", "Retry", "policies.<policy>.retry"),
    ("Backoff", "Backoff", "policies.<policy>.retry.backoff"),
    ("Retry budget", "RetryBudget", "policies.<policy>.retry.budget"),
    ("Hedges", "Hedge", "policies.<policy>.hedge"),
    ("Breakers", "Breaker", "policies.<policy>.breaker"),
    ("Failure rate", "FailureRate", "policies.<policy>.breaker.failure_rate"),
    ("Open breakers", "OpenFor", "policies.<policy>.breaker.open_for"),
    ("Plans", "Plan", "plans.<plan>"),
    ("Budget", "Budget", "plans.<plan>.budget"),
    ("Branches", "Branch", "plans.<plan>.branches.<branch>"),
    ("Steps of a cascade", "Step", "plans.<plan>.cascade[…]"),
    ("Calls for each item", "Each", "plans.<plan>.branches.<branch>.for_each"),
    ("Caches", "Cache", "plans.<plan>.branches.<branch>.cache"),
    ("A default for a missing answer", "Use", "plans.<plan>.branches.<branch>.if_missing"),
    ("Fallbacks", "Fallback", "plans.<plan>.branches.<branch>.fallback"),
    ("Completion", "Complete", "plans.<plan>.complete"),
    ("Completion by count", "Count", "plans.<plan>.complete.until"),
    ("Completion by coverage", "Coverage", "plans.<plan>.complete.until"),
    ("Completion by predicate", "Predicate", "plans.<plan>.complete.until"),
    ("Completion by confidence", "Confidence", "plans.<plan>.complete.until"),
    ("Completion by quiet", "Quiet", "plans.<plan>.complete.until"),
    ("Grace", "Grace", "plans.<plan>.complete.grace"),
    ("The floor", "Accept", "plans.<plan>.accept"),
    ("Synthesis", "Synthesize", "plans.<plan>.merge.synthesize"),
    ("Routes", "Route", "routes[…]"),
    ("Server", "Server", "server"),
    ("Size limits", "Limits", "server.limits"),
    ("Overload", "Overload", "server.overload"),
    ("Overload by lag", "Lag", "server.overload.lag"),
    ("Overload by memory", "Memory", "server.overload.memory"),
    ("Repeated requests", "Idempotency", "server.idempotency"),
)
"""Title, definition in the schema, and where it stands in the file."""

EXTENDS: Final = {"Step": "Branch"}
"""Definitions that have all keys of another one: their tables hold their own keys only."""

HEAD: Final = """\
# Configuration: `fanmesh.yaml`

<!-- Written by scripts/gen_configuration_doc.py; edit the field descriptions in dispatcher/config/shape*.py instead. -->

`fanmesh check FILE` validates a file without starting anything, and lists all that is wrong with it, each with line, column
and path. `fanmesh schema` writes the JSON Schema, for editors that complete and underline.

Six lines are enough; everything else has a default:

```yaml
version: 1
workers: {hello: {target: "localhost:50051", effect: read}, slow: {target: "localhost:50052", effect: read}}
plans:
  greet: {budget: {latency: 1s}, branches: {hello: {required: true}, slow: {soft_timeout: 200ms}}}
```

A fuller one:

```yaml
version: 1
attributes: [task, tenant]
default_policy: standard
policies:
  standard: {extends: standard, retry: {per_try_timeout: 250ms}}   # its own name: the built-in one, changed
  patient:  {extends: standard, retry: {max_attempts: 5, budget: {ratio: 0.5}}, breaker: null}
  quick:    {extends: standard, hedge: {after: p90, max_extra_load: 0.1}, balance: round_robin}
workers:
  phone: {target: "dns:///phone:50051", effect: read, attributes: [tenant], limit: {in_flight: 64, rate: {per_second: 500}}}
  geo:   {endpoints: ["geo-0:50051", "geo-1:50051"], effect: read, policy: quick}
  rates: {target: "unix:/run/rates.sock", effect: read, stream: true, policy: patient}
  note:  {target: "xds:///notes", effect: write, idempotent: true, limit: {in_flight: 8, queue: 100}}
plans:
  enrich_contact:
    budget: {latency: 1500ms}
    merge_reserve: 25ms
    branches:
      phone: {required: true, timeout: 300ms, sla: 100ms}
      geo:   {weight: 2, soft_timeout: 300ms, timeout: 800ms, if_missing: {use: {country: unknown}}}
      rates:
        if: has(input.amount)
        timeout: 500ms
        input:  {from: {currency: "${input.currency}", units: "${int(input.amount)}"}, to: EUR}
        output: {eur: "${output.units}"}
        on_stream_failure: discard
      note: {if: 'attributes.tenant != ""'}
    complete: {until: [{coverage: 0.75}, required], soft_timeout: 800ms, grace: {min: 0.1, max: 0.3}}
    accept: {min_success: 1, min_coverage: 0.5}
    merge: {deep_merge: {country: plan_order, tags: union}}
routes:
  - {if: 'attributes.task == "enrich"', plan: enrich_contact}
server:
  listen: 127.0.0.1:50050
  metrics: null
  aggregator: embedded
  drain: 20s
  limits: {reply: 2MiB}
  max_in_flight: 1000
  overload: {memory: {limit: 2GiB}}
dev: {phone: "sample_workers.enrichment.phone:phone"}
```

## Rules for values

* YAML 1.2, core schema: `on`, `no` and `1_000` are strings. Keys are strings and stand once. There are no merge keys (`<<`).
* Names of workers, plans, branches and attributes are a lower-case letter, then lower-case letters, digits and `_`.
* A duration has a unit (`us`, `ms`, `s`, `m`, `h`), as in `300ms` or `1.5s`, and is at most 24 hours; only 0 needs none.
* A size has a unit (`B`, `KiB`, `MiB`, `GiB`).
* `null` for an optional key means the same as leaving it out. Within `policies` and `server.overload` it switches a thing off.
* `if` holds bare CEL. In `input` and `output`, `${…}` in a value is CEL and all else is literal; `$${` is a literal `${`.
* A target is `dns:///host:port`, `host:port` (the same), `ipv4:1.2.3.4:port`, `unix:/path` or `xds:///name`.

## Built-in policies

Each can be named, extended, and replaced by one of the same name in the file; `hedged` is not changed by another `standard`.

BUILT_IN"""


def main() -> int:
    """Write or compare; the exit code."""
    text = page()
    if "--check" in sys.argv[1:]:
        if PAGE.is_file() and PAGE.read_text() == text:
            return 0
        print(f"{PAGE.name} is out of date: run scripts/{Path(__file__).name}")
        return 1
    PAGE.write_text(text)
    return 0


def page() -> str:
    """The whole page."""
    schema = json_schema(merge_schema())
    parts = [HEAD.replace("BUILT_IN", _built_in())]
    for title, name, place in SECTIONS:
        section = schema["$defs"][name] if name else schema
        about = f"{f'`{place}`: ' if place else ''}{section['description']}"
        if (base := EXTENDS.get(name)) is not None:
            known = schema["$defs"][base]["properties"]
            section = {**section, "properties": {key: v for key, v in section["properties"].items() if key not in known}}
            about += f" It has the keys of {_link(base)}, and these:"
        parts.append(f"\n## {title}\n\n{about}\n\n{_table(section)}")
    parts.append(f"\n## Merges\n\n`plans.<plan>.merge`: a name, or `{{name: options}}`.\n\n{_merges(schema['$defs']['Merge'])}")
    return "".join(parts)


def _built_in() -> str:
    rows = ["| policy | attempts | retry | hedge | breaker | balance |", "|---|---|---|---|---|---|"]
    for policy in BUILT_IN.values():
        on = [("yes" if part is not None else "–") for part in (policy.retry, policy.hedge, policy.breaker)]
        rows.append(f"| `{policy.name}` | {policy.max_attempts} | {' | '.join(on)} | `{policy.balance.value}` |")
    return "\n".join(rows) + "\n"


def _table(section: dict[str, Any]) -> str:
    required = section.get("required", ())
    rows = ["| key | type | default | unit | meaning |", "|---|---|---|---|---|"]
    for key, field in section["properties"].items():
        default = "required" if key in required else _default(field)
        meaning = field.get("description") or "see there"
        rows.append(f"| `{key}` | {_type(field)} | {default} | {_unit(field)} | {meaning} |")
    return "\n".join(rows) + "\n"


def _default(field: dict[str, Any]) -> str:
    value = field.get("default")
    referred = "$ref" in field or ("default" not in field and any("$ref" in arm for arm in field.get("anyOf", ())))
    if referred and not isinstance(value, str):
        return "see there"
    return "–" if value is None else f"`{value if isinstance(value, str) else json.dumps(value)}`"


def _type(field: dict[str, Any]) -> str:
    arms = field.get("anyOf") or field.get("oneOf")
    match field:
        case {"x-type": kind}:
            return str(kind)
        case {"$ref": ref}:
            return _link(ref.rpartition("/")[2])
        case _ if arms:
            kinds = dict.fromkeys(_type(arm) for arm in arms if arm.get("type") != "null" and arm != {"const": 0})
            return " or ".join(kinds)
        case {"const": value}:
            return f"`{value}`"
        case {"enum": words}:
            return " or ".join(f"`{word}`" for word in words)
        case {"items": {"oneOf": _}}:
            return "a list of these"
        case {"items": items}:
            return f"list of {_type(items)}"
        case {"patternProperties": values}:
            return f"name → {_type(next(iter(values.values())))}"
        case {"type": "string", "pattern": _}:
            return "name"
        case {"type": "integer" | "number" as kind}:
            return f"{kind}{_range(field)}"
        case {"type": kind}:
            return str(kind)
        case _:
            return "any value"


def _range(field: dict[str, Any]) -> str:
    signs = {"exclusiveMinimum": ">", "minimum": "≥", "exclusiveMaximum": "<", "maximum": "≤"}
    return "".join(f" {sign} {field[bound]:g}" for bound, sign in signs.items() if bound in field)


def _link(name: str) -> str:
    title = {"Merge": "Merges", **{definition: title for title, definition, _ in SECTIONS}}[name]
    return f"[{title.lower()}](#{title.lower().replace(' ', '-')})"


def _unit(field: dict[str, Any]) -> str:
    for arm in (field, *field.get("anyOf", ())):
        if "x-unit" in arm:
            return str(arm["x-unit"])
    return "–"


def _merges(schema: dict[str, Any]) -> str:
    named = next(arm["properties"] for arm in schema["anyOf"] if "properties" in arm)
    rows = [f"| `{name}` | {options.get('description', '')} |" for name, options in named.items()]
    parts = ["\n".join(["| merge | meaning |", "|---|---|", *rows]) + "\n\nWith examples: [merging.md](merging.md).\n"]
    parts += [f"\n### `{name}`\n\n{_table(options)}" for name, options in named.items() if "properties" in options]
    return "".join(parts)


if __name__ == "__main__":
    sys.exit(main())
