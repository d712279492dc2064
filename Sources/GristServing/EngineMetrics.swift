import Metrics

/// What an engine measures, by swift-metrics: whoever runs one says where measurements go.
struct EngineMetrics: Sendable {
  let requests, failures, refusals, promptRows, keptRows, pictures, keptPictures, answerTokens: Counter
  let queue, picture, prefill, decode: Timer
  private let waiting, running: Gauge

  init(_ factory: any MetricsFactory) {
    func counter(_ name: String) -> Counter { Counter(label: name, dimensions: [], factory: factory) }
    func timer(_ name: String) -> Timer { Timer(label: name, dimensions: [], factory: factory) }
    func gauge(_ name: String) -> Gauge { Gauge(label: name, dimensions: [], factory: factory) }
    requests = counter("gristmill_requests")
    failures = counter("gristmill_failures")
    refusals = counter("gristmill_refusals")
    promptRows = counter("gristmill_prompt_rows")
    keptRows = counter("gristmill_kept_rows")
    pictures = counter("gristmill_images")
    keptPictures = counter("gristmill_kept_images")
    answerTokens = counter("gristmill_answer_tokens")
    queue = timer("gristmill_queue")
    picture = timer("gristmill_image")
    prefill = timer("gristmill_prefill")
    decode = timer("gristmill_decode")
    waiting = gauge("gristmill_requests_waiting")
    running = gauge("gristmill_requests_running")
  }

  func record(_ shared: Engine.Shared) {
    waiting.record(shared.waiting.count)
    running.record(shared.running.values.reduce(0, +))
  }
}

extension Engine {
  /// What each measurement is, by its label, for those who show them.
  public static let measurements: [String: String] = [
    "gristmill_requests": "Requests whose prompt was read.",
    "gristmill_failures": "Requests that failed or were refused while being answered.",
    "gristmill_refusals": "Requests that found the queue full.",
    "gristmill_prompt_rows": "Rows of prompts, pictures' counted in.",
    "gristmill_kept_rows": "Rows of prompts that were kept from earlier ones.",
    "gristmill_images": "Pictures in requests.",
    "gristmill_kept_images": "Pictures that had been looked at before.",
    "gristmill_answer_tokens": "Tokens of answers.",
    "gristmill_queue": "Seconds that requests waited.",
    "gristmill_image": "Seconds for pictures and the router.",
    "gristmill_prefill": "Seconds for prompts.",
    "gristmill_decode": "Seconds for answers, side by side.",
    "gristmill_requests_waiting": "Requests in the queue.",
    "gristmill_requests_running": "Answers under way.",
  ]
}

extension Timer {
  func record(seconds: Double) { recordNanoseconds(Int64(seconds * 1e9)) }
}
