import GristmillKit

// verify MODEL.grist REPORT.html: asks the model what its record asked, then something else.
let source = try Source.open(path: CommandLine.arguments[1])
let compute = Compute(pool: try ThreadPool(threads: 2))
let reference = try Reference.open(nil, model: source, asksQuestions: false)
let report = try Verification(source, against: reference, compute: compute).run()
try AtomicFile(path: CommandLine.arguments[2], kind: .page).finish(with: Bytes(Array(report.html.utf8)))
print(report.passed ? "verified" : report.objections.joined(separator: "\n"))

let model = try source.model(compute: compute)
let prompt = try model.prepare(Conversation(message: "What is this?", hasImage: false), image: nil)
print("\(try model.answer(prompt, maxNewTokens: 8, sampler: Sampler()).tokens.count) tokens")
