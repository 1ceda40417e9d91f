"""rules.py DASHBOARD: the expressions of a Grafana dashboard as Prometheus rules, for promtool."""

import json
import sys

with open(sys.argv[1]) as file:
    panels = json.load(file)["panels"]
expressions = [target["expr"] for panel in panels for target in panel.get("targets", [])]
assert len(expressions) > 10, "what became of the dashboard?"
rules = []
for number, expression in enumerate(expressions):
    for variable, value in [("$__rate_interval", "1m"), ("$job", "x"), ("$instance", "x")]:
        expression = expression.replace(variable, value)
    assert "$" not in expression, expression
    rules.append({"record": f"dashboard:{number}", "expr": expression})
# JSON is YAML.
print(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
