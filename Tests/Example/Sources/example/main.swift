import GristKernels
import GristModel
import GristSources
import GristVerification

// Opens a model, asks it something, and holds it to the reference record that it carries.
let source = try Source.open(path: CommandLine.arguments[1])
let model = try source.model(compute: Compute(pool: ThreadPool(threads: 2)))
let prompt = try model.prepare(Conversation(message: "What is this?", hasImage: false), image: nil)
let answer = try model.answer(prompt, maxNewTokens: 8, sampler: Sampler())
print("\(answer.tokens.count) tokens")
if case .record(let record) = try Reference.open(nil, model: source, asksProbes: false) {
  print(try model.verify(against: record, limits: VerificationLimits()).passed ? "verified" : "not the reference's")
}
