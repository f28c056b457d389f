#!/bin/sh
# Create the one-node cluster `cluster-1` on Google Kubernetes Engine and start the face service in it.
#
#   IMAGE=REGISTRY/facepipe:TAG deploy/kubernetes/create_gcloud_cluster.sh
#
# IMAGE is what `docker build -f deploy/Dockerfile` made, pushed to where the cluster can pull it. Project and zone are
# those of `gcloud config`. create_service.sh opens the service afterwards.
set -eu

: "${IMAGE:?set it to the image in a registry, such as REGISTRY/facepipe:TAG}"
cd "$(dirname "$0")"

gcloud container clusters create cluster-1 --num-nodes=1 --machine-type="${MACHINE_TYPE:-n1-standard-1}"
gcloud container clusters get-credentials cluster-1
kubectl apply -f fr_storage.yml
kubectl set image --local -f fr_deployment.yml "fr=$IMAGE" -o yaml | kubectl apply -f -
kubectl rollout status deployment/fr --timeout=15m
