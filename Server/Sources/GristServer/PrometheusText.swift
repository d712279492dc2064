import GristServing

/// Measurements in Prometheus' text format, version 0.0.4.
enum PrometheusText {
  static func describe(_ counters: EngineCounters) -> String {
    let rows: [(name: String, kind: String, help: String, value: String)] = [
      ("requests_total", "counter", "Requests whose prompt was read.", "\(counters.requests)"),
      ("failures_total", "counter", "Requests that failed or were refused while being answered.", "\(counters.failed)"),
      ("refusals_total", "counter", "Requests that found the queue full.", "\(counters.refused)"),
      ("prompt_rows_total", "counter", "Rows of prompts, pictures' counted in.", "\(counters.promptRows)"),
      ("kept_rows_total", "counter", "Rows of prompts that were kept from earlier ones.", "\(counters.keptRows)"),
      ("images_total", "counter", "Pictures in requests.", "\(counters.pictures)"),
      ("kept_images_total", "counter", "Pictures that had been looked at before.", "\(counters.keptPictures)"),
      ("answer_tokens_total", "counter", "Tokens of answers.", "\(counters.answerTokens)"),
      ("image_seconds_total", "counter", "Seconds for pictures and the router.", "\(counters.pictureSeconds)"),
      ("prefill_seconds_total", "counter", "Seconds for prompts.", "\(counters.prefillSeconds)"),
      ("decode_seconds_total", "counter", "Seconds for answers, side by side.", "\(counters.decodeSeconds)"),
      ("requests_waiting", "gauge", "Requests in the queue.", "\(counters.waiting)"),
      ("requests_running", "gauge", "Answers under way.", "\(counters.running)"),
    ]
    return rows.map {
      "# HELP gristmill_\($0.name) \($0.help)\n# TYPE gristmill_\($0.name) \($0.kind)\ngristmill_\($0.name) \($0.value)\n"
    }.joined()
  }
}
