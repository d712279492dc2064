import GristmillKit

// convert CHECKPOINT MODEL.grist QUESTIONS.json: to int4, calibrated in full with questions of one's own.
let arguments = CommandLine.arguments
var options = Conversion.Options()
options.recipe = .int4
options.calibration = .full
options.samples = try Calibration(probes: arguments[3])
let conversion = try Conversion(
  Source.open(path: arguments[1]), options: options, pool: ThreadPool(threads: 2))
let summary = try conversion.run(to: AtomicFile(path: arguments[2], kind: .grist)) { event in
  if case .note(let note) = event { print("note: \(note)") }
}
print("\(summary.plan.entries.count) tensors, \(summary.byteCount) bytes, \(summary.calibration ?? "not calibrated")")
