"""Flower's settings (``celery --app=services.wire.app flower --conf=...``). Tornado reads the names below."""

from pathlib import Path

# "name:password", one a line; whoever comes without one is answered 401.
basic_auth = Path("/run/secrets/flower_users").read_text().split()
# Flower shows. It stops no worker and sends no task, whoever asks: a batch has no business outside a run.
read_only = True
address = "0.0.0.0"
port = 5555
# What it has seen outlives a restart.
persistent = True
db = "/data/flower"
state_save_interval = 60_000  # milliseconds
max_tasks = 20_000
max_workers = 1_000
purge_offline_workers = 600  # seconds
inspect_timeout = 5_000.0  # milliseconds; a worker that scores answers late
tasks_columns = "name,args,state,worker,received,runtime"
