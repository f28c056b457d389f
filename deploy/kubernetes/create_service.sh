#!/bin/sh
# Expose the deployment `fr` as the load balancer `fr-svc`, and print it. The routes know no API keys: whoever reaches
# the address may use them, so name the network that may call, such as 203.0.113.0/24.
#
#   deploy/kubernetes/create_service.sh [NETWORK]
set -eu

network=${1:-0.0.0.0/0}
case $network in
    *[!0-9a-fA-F.:/]*)
        echo "$0: '$network' is no network; write it as 203.0.113.0/24" >&2
        exit 2
        ;;
esac
if [ "$network" = 0.0.0.0/0 ]; then
    echo "$0: everybody who reaches the load balancer may register and look up faces; $0 NETWORK narrows that" >&2
fi

kubectl expose deployment fr --name=fr-svc --type=LoadBalancer --port=5000 --target-port=5000 \
    --overrides="{\"apiVersion\": \"v1\", \"spec\": {\"loadBalancerSourceRanges\": [\"$network\"]}}"
kubectl get service fr-svc
