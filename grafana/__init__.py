"""What people look at: dashboards as code, Prometheus rules and their tests, Alertmanager, provisioning for Grafana.

`python -m grafana.build` writes dashboards/*.json from boards/*.py. Nothing here is imported by k2x.
"""
