# Reads the candidate's functions, then the tests, which stop at the first command that fails, and
# says at the end that it has got there.
readonly hpc_runner_ending=$HPC_RUNNER_ENDING
unset HPC_RUNNER_ENDING
source ./solution.sh
set -eE
trap 'echo "Assertion failed: line $LINENO of ${BASH_SOURCE[0]##*/}: $BASH_COMMAND" >&2' ERR
source ./tests.sh
trap - ERR
printf '%s' "${hpc_runner_ending%% *}" >"${hpc_runner_ending#* }"
