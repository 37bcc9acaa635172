#!/bin/bash
# Workers of a run on a Slurm cluster, one for each GPU. The coordinator, Redis and the bucket are elsewhere
# (docs/large-runs.md); these machines reach them by TLS and keep nothing.
#
#   sbatch --array=1-8 examples/slurm-workers.sh            eight GPUs
#   scancel --batch --signal=TERM --name=datamask-worker    all of them leave after the batch in hand; without
#                                                           --batch and --signal it goes to another worker
#
# DATAMASK_HOME    a folder that every node sees, with datamask in a virtual environment (.venv) and infra/secrets
#                  as the main host made it (infra/secrets/worker/). Default: where sbatch was called.
# DATAMASK_ADDRESS the main host. Without it DATAMASK_BROKER and the AWS_ variables are taken as they are.
# DATAMASK_S3_ENDPOINT, DATAMASK_CA: of a bucket elsewhere (docs/large-runs.md, "More hosts").
# IDLE_S           seconds without work after which a worker leaves and frees its GPU. Default 600.
# Words after the script's name go to `datamask worker`: --device cpu for nodes without a GPU.
#SBATCH --job-name=datamask-worker
#SBATCH --gpus=1
#SBATCH --cpus-per-task=4
#SBATCH --mem=8G
#SBATCH --time=24:00:00
#SBATCH --requeue
#SBATCH --signal=B:TERM@300
# The last line: five minutes before its time is over a worker is told to end the batch in hand.
set -eu

home="${DATAMASK_HOME:-${SLURM_SUBMIT_DIR:-$PWD}}"
if [ -n "${DATAMASK_ADDRESS:-}" ]; then
    secrets="$home/infra/secrets"
    # The address of the queue names the authority's file as the worker image has it.
    (umask 077 && sed "s|/run/secrets/ca|$secrets/ca|" "$secrets/broker_url" > "$secrets/broker_url.$$")
    mv "$secrets/broker_url.$$" "$secrets/broker_url.slurm"
    export DATAMASK_BROKER_FILE="$secrets/broker_url.slurm"
    export AWS_SHARED_CREDENTIALS_FILE="$secrets/s3_credentials" AWS_CA_BUNDLE="${DATAMASK_CA:-$secrets/ca}"
    export AWS_ENDPOINT_URL_S3="${DATAMASK_S3_ENDPOINT:-https://$DATAMASK_ADDRESS:8334}"
    export AWS_DEFAULT_REGION="${AWS_DEFAULT_REGION:-us-east-1}"
fi
export OMP_WAIT_POLICY=passive
# A node whose GPU torch cannot use has to say so: a CPU that came first would keep all GPUs from an exact run.
# exec: the signal reaches the worker itself.
exec "$home/.venv/bin/datamask" worker --device cuda --idle-s "${IDLE_S:-600}" "$@"
