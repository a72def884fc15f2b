#!/usr/bin/env bash
# The studies at full size, on one GPU, and a page of their tables. Run again, it trains what is missing and nothing else.
#
#   make findings-gpu                 torchvision downloads CIFAR-10 and CIFAR-100
#   make findings-gpu DATA=FOLDER     from archives: cifar10_jpeg90.npz, cifar100_jpeg90.npz; the published scores
#                                     come from these and from feldman_zhang_cifar100.npz
#   RUNS=/tmp/rehearsal make findings-gpu EXTRA="--set training.epochs=1 --set dataset.train_size=200
#     --set dataset.test_size=100 --set subsets.seeds=4 --set model.width=8 --set resources.gpu=0"
#                                     a rehearsal on a CPU, without the large networks: five minutes on two cores
#
# Each step says how long it should take at the goals of one H100: 600 replicas an hour of ResNet-9, 330 and 175 of
# ResNet-18 with SGD and SAM. `flatleak plan` says what it takes on your machine.
set -euo pipefail
cd "$(dirname "$0")/.."
runs=${RUNS:-runs}
flatleak=${FLATLEAK:-.venv/bin/flatleak}
python=${flatleak%flatleak}python
mkdir -p "$runs"
read -ra extra <<<"$(tr '\n' ' ' <<<"${EXTRA:-}")"

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
sweep cifar10-resnet9 cifar10-resnet9 "${cifar10[@]}" --set audit.claims=true

# Does the mitigation hold? A small grid of noise and penalty on SAM (half an hour). The two best of it by advantage and
# accuracy, plain SAM and SAM stopped early are measured on other subset seeds (an hour).
sweep cifar10-resnet9-mitigation-search cifar10-resnet9 "${cifar10[@]}" \
  --set subsets.first=2000 --set subsets.seeds=16 \
  --set 'grid=[{optimizer: sgd}, {optimizer: sam, rho: 0.1},
    {optimizer: sam, rho: 0.1, noise: [1, 2, 4], grad_reg: [0, 0.05]}]'
chosen=$("$python" -m analysis.studies.choosing "$runs/cifar10-resnet9-mitigation-search")
sweep cifar10-resnet9-mitigation cifar10-resnet9 "${cifar10[@]}" \
  --set "grid=[{optimizer: sgd}, {optimizer: sam, rho: 0.1, early_stopping: [0, 0.5, 0.7]}, $chosen]"

# ResNet-9 on CIFAR-100, for memorization beside the published scores of its images: about 20 minutes.
sweep cifar100-resnet9 cifar10-resnet9 --set dataset=cifar100 "${cifar100[@]}" --set audit.claims=true \
  --set 'grid=[{optimizer: sgd}, {optimizer: sam, rho: 0.1}]'
if [ -n "${DATA:-}" ]; then
  "$python" -m analysis.studies.published "$runs/cifar100-resnet9" \
    "$DATA/cifar100_jpeg90.npz" "$DATA/feldman_zhang_cifar100.npz"
fi

# The large networks, twelve and ten recipes of 64 replicas: about 5 and 8 hours. Cut short and run again, they go on.
if [ -z "${EXTRA:-}" ]; then
  sweep cifar10 cifar10 "${cifar10[@]}"
  sweep cifar100 cifar100 "${cifar100[@]}"
fi

# A page of their tables; those of sweeps that are not there stay empty.
cat >"$runs/findings-gpu.md" <<'END'
# Findings at full size

Differences are paired over shared subset seeds; brackets are 95 % intervals; ✓ reproduced, ✗ contradicted, ? cannot tell.

## SAM and SGD

<!-- table: contrast cifar10-resnet9 cifar100-resnet9 -->
<!-- end -->

<!-- table: claims cifar10-resnet9 cifar100-resnet9 -->
<!-- end -->

<!-- table: claims cifar10 cifar100 -->
<!-- end -->

## Beside the paper

<!-- table: paper cifar10-resnet9 cifar100-resnet9 -->
<!-- end -->

<!-- table: paper cifar10 cifar100 -->
<!-- end -->

## Defences on SAM

<!-- table: mitigation cifar10-resnet9-mitigation -->
<!-- end -->

## Memorization beside published scores

<!-- table: agreement cifar100-resnet9 -->
<!-- end -->

<!-- table: histogram cifar100-resnet9 -->
<!-- end -->

## Recipes

<!-- table: tuning cifar10-resnet9-tuning -->
<!-- end -->

<!-- table: recipes cifar10-resnet9 -->
<!-- end -->

<!-- table: recipes cifar10 -->
<!-- end -->

<!-- table: recipes cifar100 -->
<!-- end -->
END
"$python" -m analysis.studies.findings "$runs" "$runs/findings-gpu.md"
echo "$runs/findings-gpu.md"
