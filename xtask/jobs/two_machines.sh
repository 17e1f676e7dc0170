#!/usr/bin/env bash
# A job on two machines, which are network namespaces with a cable between them: the same losses as on one machine.
#
#     [DEVICE=NAME] xtask/jobs/two_machines.sh BURN_SSL ENGINE        ENGINE is mpi or c10d
#
# Needs root, iproute2 and, for mpi, Open MPI. DEVICE is flex for mpi and tch for c10d by default, so that tensors of libtorch
# travel over c10d. Says what is missing and ends with 0 where namespaces cannot be made.
set -euo pipefail

burn_ssl=$(realpath "$1")
engine=$2
case $engine in
mpi) device=${DEVICE:-flex} ;;
c10d) device=${DEVICE:-tch} ;;
*) echo "the engine is $engine, expected mpi or c10d" >&2 && exit 2 ;;
esac
work=$(mktemp -d)
one=burn-one-$$ two=burn-two-$$ # names of namespaces, and of hosts
network=10.77.0

clean() {
  ip netns pids "$one" 2>/dev/null | xargs -r kill -9 2>/dev/null || true
  ip netns pids "$two" 2>/dev/null | xargs -r kill -9 2>/dev/null || true
  ip netns delete "$one" 2>/dev/null || true
  ip netns delete "$two" 2>/dev/null || true
  rm -rf "$work" "/etc/netns/$one" "/etc/netns/$two"
}
trap clean EXIT

if ! { ip netns add "$one" && ip netns add "$two" && ip link add c1 netns "$one" type veth peer name c2 netns "$two"; } 2>"$work/why"; then
  echo "skipped: two machines, for no network namespaces with a cable can be made: $(head -1 "$work/why")"
  exit 0
fi
for side in "$one c1 $network.1" "$two c2 $network.2"; do
  read -r name cable address <<<"$side"
  ip -n "$name" link set lo up
  ip -n "$name" link set "$cable" up
  ip -n "$name" address add "$address/24" dev "$cable"
  mkdir -p "/etc/netns/$name" # seen as /etc by what runs in the namespace
  printf '127.0.0.1 localhost\n%s.1 %s\n%s.2 %s\n' "$network" "$one" "$network" "$two" >"/etc/netns/$name/hosts"
done

run=(pretrain --device "$device" --recipe simclr/cifar10 --data demo:train --limit 64 --batch-size 16 --epochs 5 --model vit-tiny
  --set encoder.patch_size=8 --set encoder.embed_dim=24 --set encoder.heads=2 --set encoder.depth=2
  --set schedule.warmup_epochs=0 --set train.sync_bn=true --set optimizer.lr=0.01)

losses() {
  grep -o '"train_loss":[^,]*' "$1/metrics.jsonl" | cut -d: -f2
}

"$burn_ssl" "${run[@]}" --out "$work/alone" >"$work/log" 2>&1 || {
  cat "$work/log"
  exit 1
}

case $engine in
mpi)
  printf '#!/usr/bin/env bash\nhost=$1\nshift\nexec ip netns exec "$host" bash -c "$*"\n' >"$work/agent"
  chmod +x "$work/agent"
  export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
  ip netns exec "$one" mpirun --mca plm_rsh_agent "$work/agent" --mca plm_rsh_no_tree_spawn 1 --mca routed direct \
    --mca pml ob1 --mca btl tcp,self --mca btl_tcp_if_include "$network.0/24" --mca oob_tcp_if_include "$network.0/24" \
    --host "$one:1,$two:1" -n 2 "$burn_ssl" "${run[@]}" --out "$work/job" >"$work/log" 2>&1 || {
    cat "$work/log"
    exit 1
  }
  ;;
c10d)
  ids=()
  for rank in 0 1; do
    name=$one cable=c1
    if [[ $rank == 1 ]]; then name=$two cable=c2; fi
    RANK=$rank WORLD_SIZE=2 LOCAL_RANK=0 LOCAL_WORLD_SIZE=1 MASTER_ADDR=$network.1 MASTER_PORT=29517 GLOO_SOCKET_IFNAME=$cable \
      ip netns exec "$name" "$burn_ssl" "${run[@]}" --out "$work/job" >"$work/log-$rank" 2>&1 &
    ids+=($!)
  done
  wait "${ids[0]}" && wait "${ids[1]}" || {
    cat "$work"/log-*
    exit 1
  }
  ;;
esac

paste <(losses "$work/alone") <(losses "$work/job") | awk -v engine="$engine" -v device="$device" '
  { d = $1 - $2; if (d < 0) d = -d; if (d / $1 > worst) worst = d / $1; if (NF == 2) rows++ }
  END {
    printf "two machines, %s, device %s: %d losses, at most %.1e from those of one process\n", engine, device, rows, worst
    exit !(NR > 0 && rows == NR && worst < 1e-4)
  }'
