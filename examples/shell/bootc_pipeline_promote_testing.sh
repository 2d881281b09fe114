#!/bin/sh
# bootc_pipeline_promote_testing.sh TAG: boot the tagged commit's image and move testing to it; where that fails, leave
# the report in the folder out/report. MODULE is the address of bootc-pipeline with a version, REGISTRY_AUTH a config.json.
set -eu
pipeline() { dagger -m "$MODULE" call --registry-auth=env://REGISTRY_AUTH --actor="$USER" "$@"; }

pipeline plan --tag="$1"
pipeline promote-testing --tag="$1" || {
	code=$?
	pipeline evidence --ref="$1" --gate=testing export --path=out/report
	exit $code
}
pipeline status
