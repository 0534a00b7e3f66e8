"""What an archive says to whoever opens it."""

README = """What is in this archive, and how to use it without Retune

load.sh                 loads the models into the Ollama on this machine (clients/<client>/load.sh)
clients/<client>/
  client.json           the client, its hosts, people, keys by name (no key, no password is in here), head of its ledger
  pipelines/<pipeline>/
    pipeline.yaml       the settings that hold now; all earlier ones: tables/tenants_settingsrevision.jsonl
    versions/v<n>/      Modelfile, version.yaml (every fact), passport.json (the same, signed)
    evaluation/         the evaluation sets, a JSON line per case; the newest version of each kind
    datasets.csv        each dataset version and the file of its rows
    gates.csv           every verdict of every gate; rollbacks.csv: every rollback; scorecards.jsonl: what was measured
  files/                weights (.gguf), adapters (.tar), datasets and answers (.jsonl), named by their SHA-256
  files.csv             what each file is
  reports/              the monthly reports, pages that need nothing else
  ledger.jsonl          every act, a chain: each row's digest covers the digest of the row before it
  tables/               every row of the database that is this client's, a JSON line each
SHA256SUMS              sha256sum -c SHA256SUMS
manifest.json           last: an archive without it was cut off

Into another Retune: manage.py leave bring FILE --agency NAME
"""
