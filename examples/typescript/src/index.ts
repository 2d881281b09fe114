/** Examples of bootc-pipeline in TypeScript; each function is an example of the one that its name ends with. */
import { dag, Directory, func, object, Secret, Service } from "@dagger.io/dagger"

@object()
export class Examples {
  /** Whether the channels may point where they point, as one word: passed, gate_failed … */
  @func()
  async bootcPipelineVerify(source: Directory, registryAuth: Secret, registry?: Service): Promise<string> {
    return dag.bootcPipeline({ source, registryAuth, registry }).results().verify().outcome()
  }

  /** Where the channels are, for a script to read. */
  @func()
  async bootcPipelineStatus(source: Directory, registryAuth: Secret, registry?: Service): Promise<string> {
    return dag.bootcPipeline({ source, registryAuth, registry }).results().status().json()
  }
}
