#!/usr/bin/env bash
# The studies at full size, on one GPU. Run again, it trains what is missing and nothing else.
#
#   make findings-gpu                 torchvision downloads CIFAR-10 and CIFAR-100
#   make findings-gpu DATA=FOLDER     from archives: cifar10_jpeg90.npz, cifar100_jpeg90.npz; the published scores
#                                     come from these and from feldman_zhang_cifar100.npz
#   make findings-gpu EXTRA="--set training.epochs=1 --set dataset.train_size=200 --set dataset.test_size=100
#     --set subsets.seeds=4"          a rehearsal, on a CPU too
#
# Each step says how long it should take at the goals of one H100: 600 replicas an hour of ResNet-9, 330 and 175 of
# ResNet-18 with SGD and SAM. `flatleak plan` says what it takes on your machine.
set -euo pipefail
cd "$(dirname "$0")/.."
runs=${RUNS:-runs}
flatleak=${FLATLEAK:-.venv/bin/flatleak}
read -ra extra <<<"${EXTRA:-}"

# The data of a study: the spec's own, or an archive of DATA.
from() { [ -z "${DATA:-}" ] || printf -- '--set\ndataset.name=npz\n--set\ndataset.path=%s/%s\n' "$DATA" "$1"; }
mapfile -t cifar10 < <(from cifar10_jpeg90.npz)
mapfile -t cifar100 < <(from cifar100_jpeg90.npz)

sweep() { # DIRECTORY SPEC [OPTION ...]
  echo "== $1"
  "$flatleak" run "$2" --out "$runs/$1" "${@:3}" "${extra[@]}"
}

# SGD and SAM tuned alike, six settings each, on subset seeds that no study uses: about 10 minutes.
tuned='grid=[{optimizer: sgd, lr: [0.025, 0.05, 0.1, 0.2, 0.4, 0.8]},
  {optimizer: sam, rho: [0.05, 0.1], lr: [0.1, 0.2, 0.4]}]'
sweep cifar10-resnet9-tuning cifar10-resnet9 "${cifar10[@]}" \
  --set subsets.first=1000 --set subsets.seeds=4 --set "$tuned"

# The study: about 70 minutes at the rates of a prototype.
sweep cifar10-resnet9 cifar10-resnet9 "${cifar10[@]}"

# Does the mitigation hold? A small grid of noise and penalty on SAM, chosen on subset seeds that the next sweep does not
# use (20 minutes), then the two best of it by accuracy and advantage, plain SAM and SAM stopped early (40 minutes).
sweep cifar10-resnet9-mitigation-search cifar10-resnet9 "${cifar10[@]}" \
  --set subsets.first=2000 --set subsets.seeds=16 \
  --set 'grid=[{optimizer: sgd}, {optimizer: sam, rho: 0.1},
    {optimizer: sam, rho: 0.1, noise: [1, 2, 4], grad_reg: [0, 0.05]}]'
sweep cifar10-resnet9-mitigation cifar10-resnet9 "${cifar10[@]}" \
  --set 'grid=[{optimizer: sgd}, {optimizer: sam, rho: 0.1}, {optimizer: sam, rho: 0.1, early_stopping: [0.5, 0.7]},
    {optimizer: sam, rho: 0.1, noise: [1, 2, 4], grad_reg: [0, 0.05]}]'

# ResNet-9 on CIFAR-100, for memorization beside the published scores of its images: about 20 minutes.
sweep cifar100-resnet9 cifar10-resnet9 --set dataset=cifar100 "${cifar100[@]}" \
  --set 'grid=[{optimizer: sgd}, {optimizer: sam, rho: 0.1}]'
if [ -n "${DATA:-}" ]; then
  "${flatleak%flatleak}python" -m analysis.studies.published "$runs/cifar100-resnet9" \
    "$DATA/cifar100_jpeg90.npz" "$DATA/feldman_zhang_cifar100.npz"
fi

# The large networks, twelve and ten recipes of 64 replicas: hours.
if [ -z "${EXTRA:-}" ]; then
  sweep cifar10 cifar10 "${cifar10[@]}"
  sweep cifar100 cifar100 "${cifar100[@]}"
fi

"${flatleak%flatleak}python" -m analysis.studies.findings "$runs" docs/findings.md
