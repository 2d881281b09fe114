// Examples of bootc-pipeline in Go; each function is an example of the one that its name ends with.
package main

import (
	"context"

	"dagger/examples/internal/dagger"
)

type Examples struct{}

// A promotion as an object: what came of it, and why, without an error when a gate fails.
func (m *Examples) BootcPipelineResults(
	ctx context.Context,
	source *dagger.Directory,
	registryAuth *dagger.Secret,
	// +optional
	registry *dagger.Service,
	tag string,
) (string, error) {
	return pipeline(source, registryAuth, registry).Results().PromoteTesting(tag).Text(ctx)
}

// The report of a candidate's gate, as it lies in the registry beside the image.
func (m *Examples) BootcPipelineImage(
	source *dagger.Directory,
	registryAuth *dagger.Secret,
	// +optional
	registry *dagger.Service,
	image string,
	ref string,
) *dagger.Directory {
	return pipeline(source, registryAuth, registry).Image(image).Candidate(ref).Evidence().Files()
}

func pipeline(source *dagger.Directory, auth *dagger.Secret, registry *dagger.Service) *dagger.BootcPipeline {
	return dag.BootcPipeline(dagger.BootcPipelineOpts{Source: source, RegistryAuth: auth, Registry: registry})
}
