import GristmillKit

let arguments = CommandLine.arguments  // page CHECKPOINT PICTURE.jpg FOLDER
let (checkpoint, photograph, folder) = (arguments[1], arguments[2], arguments[3])
let source = try Source.open(path: checkpoint)
let pool = try ThreadPool(threads: 2)

var options = Conversion.Options()
options.recipe = .int4
options.calibration = .block
let conversion = try Conversion(source, options: options, pool: pool)
let plan = try conversion.plan()
print("\(plan.tensors.entries.count) tensors, \(plan.tensors.payloadBytes) bytes before packing")
let output = try AtomicFile(path: folder + "/model.grist", kind: .grist)
let summary = try conversion.run(to: output) { event in
  if case .progress(let done, let what) = event, done == 0 { print(what) }
}

let file = try Source.open(path: summary.path)
let model = try file.model(compute: Compute(pool: pool))
let picture = try model.encode(RGBImage(file: photograph))
let conversation = try Conversation(message: "What is in the picture?", hasImage: true)
let prompt = try model.prepare(conversation, image: picture)
if let decision = prompt.decision, let choice = decision.wholePicture {
  print("\(choice.tokens) of \(choice.options) tokens a tile, margin \(choice.margin)")
}
let answer = try model.answer(prompt, maxNewTokens: 16, sampler: Sampler()) { print($0, terminator: "") }
print("", answer.ending)

let questions = [try Question(imagePaths: [photograph], prompt: "What is in the picture?")]
let exact = Compute(pool: pool, activations: .f32)
let record = try Recording(source, questions: questions, compute: exact).run()
try AtomicFile(path: folder + "/answers.record", kind: .record).finish(with: record.encoded())
let report = try Verification(file, against: .record(record), compute: Compute(pool: pool)).run()
print(report.passed ? "passed" : report.objections.joined(separator: "\n"))
for item in report.cases {
  print(item.agreement(tieMargin: report.limits.tieMargin), item.kl.mean, item.answers?.model ?? "")
}
try AtomicFile(path: folder + "/report.html", kind: .page).finish(with: Bytes(Array(report.html.utf8)))

if let memory = RunningMemory(file) {
  print(memory.weightBytes, memory.cacheBytesPerRow, memory.scratchBytes)
}
