#!/usr/bin/env bash
# Every sweep behind docs/findings.md, then its tables. Run again, it trains what is missing and nothing else.
#
#   make findings                 torchvision downloads Fashion-MNIST and CIFAR; Location-30 is read from data/
#   make findings DATA=FOLDER     from archives: location30.npz, fashion8k_28.npz, cifar10_jpeg90.npz, cifar100_jpeg90.npz;
#                                 the published scores come from these and from feldman_zhang_cifar100.npz
set -euo pipefail
cd "$(dirname "$0")/.."
runs=${RUNS:-runs}
flatleak=${FLATLEAK:-.venv/bin/flatleak}

# The data of a study: the spec's own, or an archive of DATA.
from() { [ -z "${DATA:-}" ] || printf -- '--set\ndataset.name=npz\n--set\ndataset.path=%s/%s\n' "$DATA" "$1"; }
mapfile -t location < <(from location30.npz)
mapfile -t fashion < <(from fashion8k_28.npz)
mapfile -t cifar10 < <(from cifar10_jpeg90.npz)
mapfile -t cifar100 < <(from cifar100_jpeg90.npz)

sweep() { # DIRECTORY SPEC [OPTION ...]
  echo "== $1"
  "$flatleak" run "$2" --out "$runs/$1" "${@:3}"
}

# Learning rate and rho by test accuracy, six settings for each optimizer, on subset seeds that no study uses.
tune() { # SPEC LEARNING-RATES-OF-SGD RHOS-OF-SAM LEARNING-RATES-OF-SAM REPLICAS [OPTION ...]
  sweep "$1-tuning" "$1" --set subsets.first=1000 --set "subsets.seeds=$5" "${@:6}" \
    --set "grid=[{optimizer: sgd, lr: $2}, {optimizer: sam, rho: $3, lr: $4}]"
}
tune digits '[0.01, 0.02, 0.05, 0.1, 0.2, 0.4]' '[0.1, 0.2]' '[0.05, 0.1, 0.2]' 16
tune location30 '[0.01, 0.02, 0.05, 0.1, 0.2, 0.4]' '[0.1, 0.2]' '[0.02, 0.05, 0.1]' 8 "${location[@]}"
tune fashion '[0.005, 0.01, 0.02, 0.05, 0.1, 0.2]' '[0.05, 0.1]' '[0.02, 0.05, 0.1]' 8 "${fashion[@]}"
tune cifar10-cnn '[0.01, 0.02, 0.05, 0.1, 0.2, 0.4]' '[0.05, 0.1]' '[0.05, 0.1, 0.2]' 4 "${cifar10[@]}"

sweep digits digits
sweep location30 location30 "${location[@]}"
sweep fashion fashion "${fashion[@]}"
sweep cifar10-cnn cifar10-cnn "${cifar10[@]}"

# When does SAM leak more? The same recipes on the same data, one thing changed at a time.
sweep when when
sweep when-label-noise when --set dataset.label_noise=0.2
sweep when-long-tail when --set dataset.imbalance=20
sweep when-narrow when --set 'model.hidden=[16]'
sweep when-wide when --set 'model.hidden=[512]'
sweep when-short when --set training.epochs=5

# Which recipes restore privacy? Searched on subset seeds that the verification does not use; on CIFAR-10, a grid.
sweep mitigation mitigation
sweep location30-mitigation location30 "${location[@]}" --set subsets.seeds=32 \
  --set 'grid=[{optimizer: sgd}, {optimizer: sam, rho: [0.1, 0.2]}]' --set 'search.replicas=[8, 16]' \
  --set search.recipes=16 --set 'search.space=[{optimizer: sam, rho: {low: 0.05, high: 0.4, log: true},
    noise: {low: 0.5, high: 8.0, log: true}, grad_reg: {low: 0.02, high: 0.3, log: true}, epochs: [10, 20, 30]}]'
sweep fashion-mitigation fashion "${fashion[@]}" --set subsets.seeds=64 \
  --set 'grid=[{optimizer: sgd, epochs: [20, 100]}, {optimizer: sam, rho: 0.1, epochs: [20, 100]},
    {optimizer: sam, rho: 0.1, epochs: 20, relaxloss: 0.3}, {optimizer: sam, rho: 0.1, epochs: 20, mixup: 0.5},
    {optimizer: sam, rho: 0.1, epochs: 20, label_smoothing: 0.1},
    {optimizer: dpsgd, clip: 1, target_epsilon: [8, 32], lr: 0.1, epochs: 20}]' \
  --set 'search.replicas=[8, 16, 32]' --set search.recipes=64 --set search.keep=0.6 --set 'search.space=[
    {optimizer: sam, rho: {low: 0.03, high: 0.15, log: true}, noise: {low: 0.5, high: 4.0, log: true},
     grad_reg: {low: 0.005, high: 0.05, log: true}, lr: {low: 0.02, high: 0.06, log: true}, epochs: {low: 8, high: 30}},
    {optimizer: sam, rho: {low: 0.03, high: 0.15, log: true}, noise: {low: 0.5, high: 4.0, log: true},
     lr: {low: 0.02, high: 0.08, log: true}, epochs: {low: 8, high: 30}, batch_size: [32, 64]}]'
sweep cifar10-cnn-mitigation cifar10-cnn "${cifar10[@]}" --set training.epochs=30 \
  --set 'grid=[{optimizer: sgd}, {optimizer: sam, rho: [0.05, 0.07]}, {optimizer: sam, rho: 0.05, epochs: 20},
    {optimizer: sam, rho: 0.05, noise: 1, grad_reg: [0.055, 0.065]}]'

# Memorization beside published scores of the same images.
if [ -n "${DATA:-}" ]; then
  sweep cifar100-cnn cifar10-cnn "${cifar100[@]}" --set dataset.train_size=5000 --set 'grid=[{optimizer: sgd}]'
  python="${flatleak%flatleak}python"
  "$python" -m analysis.studies.published "$runs/cifar10-cnn" "$DATA/cifar10_jpeg90.npz"
  "$python" -m analysis.studies.published "$runs/cifar100-cnn" "$DATA/cifar100_jpeg90.npz" "$DATA/feldman_zhang_cifar100.npz"
fi

# Full size, where there is a GPU.
if command -v nvidia-smi >/dev/null; then
  sweep cifar10 cifar10 "${cifar10[@]}"
  sweep cifar100 cifar100 "${cifar100[@]}"
fi

"${flatleak%flatleak}python" -m analysis.studies.findings "$runs" docs/reading-the-page.md docs/findings.md
