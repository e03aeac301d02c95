"""Estates whose databases are kept in two folders, for `str.format`: what they all begin with."""

TWO_FOLDERS = """\
version: 1
regions: {{eu: {{name: Europe}}, us: {{name: USA}}}}
clusters:
  print:
    name: Print
    region: eu
    components:
      web: {{name: Web, checks: {{page: {{url: "http://127.0.0.1:1/"}}}}}}
backup:
  stores:
    eu: {{to: "file://{folder}/eu"}}
    us: {{to: "file://{folder}/us"}}
"""
