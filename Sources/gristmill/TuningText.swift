import GristCore
import GristKernels

/// What `bench --tune` found.
enum TuningText {
  static func describe(_ tuning: KernelTuning, _ steps: [KernelTuner.Step], path: String) -> String {
    let builtIn = KernelTuning.builtIn
    var lines = [
      "\(KernelTuning.machine): " + (builtIn.isMeasured ? "its family is built in" : "its family is not built in"), "",
    ]
    for step in steps {
      lines.append(step.setting)
      lines.append(
        Format.table(
          step.candidates.map { candidate in
            [
              "  " + candidate.name, NumberText.fixed(candidate.rate / 1e9, digits: 1), step.unit,
              candidate.isTaken ? "taken" : "",
            ]
          }, leftAligned: [0, 2, 3]))
    }
    lines += [
      "",
      tuning == builtIn.tuning
        ? "nothing is more than a hundredth faster than what is built in; kept in \(path)" : "kept in \(path)",
    ]
    return lines.joined(separator: "\n")
  }

  static func json(_ tuning: KernelTuning, _ steps: [KernelTuner.Step], path: String) -> JSONValue {
    [
      "machine": JSONValue(KernelTuning.machine), "path": JSONValue(path), "tuning": tuning.json,
      "built_in": KernelTuning.builtIn.tuning.json,
      "steps": .array(
        steps.map { step in
          [
            "setting": JSONValue(step.setting),
            "candidates": .array(
              step.candidates.map { candidate in
                [
                  "name": JSONValue(candidate.name), "per_second": JSONValue(candidate.rate),
                  "taken": JSONValue(candidate.isTaken),
                ]
              }),
          ]
        }),
    ]
  }
}
