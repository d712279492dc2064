import CoreMetrics
import Synchronization

/// Keeps what swift-metrics is told, and writes it in Prometheus' text format, version 0.0.4.
///
/// A counter `a_b` becomes `a_b_total`, a timer `a_b_seconds_sum` and `a_b_seconds_count`, a recorder that aggregates
/// `a_b_sum` and `a_b_count`, a gauge `a_b`. Dots and dashes in names become underscores.
public final class PrometheusRegistry: MetricsFactory {
  private struct Key: Hashable {
    let label: String
    let dimensions: [String]
  }

  private let series = Mutex<[Key: Series]>([:])
  private let help: [String: String]

  /// - Parameter help: what a measurement is, by its label.
  public init(help: [String: String] = [:]) { self.help = help }

  /// All measurements that were made so far.
  public func text() -> String {
    let all = series.withLock { Array($0) }
    let families = Dictionary(grouping: all) { $0.key.label }
    return families.sorted { $0.key < $1.key }.map { label, members in
      let kind = members[0].value.kind
      let name = Self.name(label) + kind.suffix
      let lines = members.sorted { $0.key.dimensions.lexicographicallyPrecedes($1.key.dimensions) }.flatMap {
        $0.value.lines(name, $0.key.dimensions.isEmpty ? "" : "{\($0.key.dimensions.joined(separator: ","))}")
      }
      let about = help[label].map { ["# HELP \(name) \($0)"] } ?? []
      return (about + ["# TYPE \(name) \(kind.type)"] + lines).joined(separator: "\n") + "\n"
    }.joined()
  }

  private static func name(_ label: String) -> String {
    String(label.map { $0.isASCII && ($0.isLetter || $0.isNumber) ? $0 : "_" })
  }

  private static func text(_ value: String) -> String {
    value.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"").replacing("\n", with: "\\n")
  }

  private func series(_ label: String, _ dimensions: [(String, String)], _ kind: Series.Kind) -> Series {
    let key = Key(
      label: label, dimensions: dimensions.map { "\(Self.name($0.0))=\"\(Self.text($0.1))\"" }.sorted())
    return series.withLock { all in
      if let known = all[key] { return known }
      let made = Series(kind)
      all[key] = made
      return made
    }
  }

  public func makeCounter(label: String, dimensions: [(String, String)]) -> any CounterHandler {
    series(label, dimensions, .counter)
  }

  public func makeFloatingPointCounter(
    label: String, dimensions: [(String, String)]
  ) -> any FloatingPointCounterHandler {
    series(label, dimensions, .counter)
  }

  public func makeRecorder(label: String, dimensions: [(String, String)], aggregate: Bool) -> any RecorderHandler {
    series(label, dimensions, aggregate ? .summary : .gauge)
  }

  public func makeMeter(label: String, dimensions: [(String, String)]) -> any MeterHandler {
    series(label, dimensions, .gauge)
  }

  public func makeTimer(label: String, dimensions: [(String, String)]) -> any TimerHandler {
    series(label, dimensions, .timer)
  }

  // What was counted stays, whoever counted it.
  public func destroyCounter(_ handler: any CounterHandler) {}
  public func destroyFloatingPointCounter(_ handler: any FloatingPointCounterHandler) {}
  public func destroyRecorder(_ handler: any RecorderHandler) {}
  public func destroyMeter(_ handler: any MeterHandler) {}
  public func destroyTimer(_ handler: any TimerHandler) {}
}

/// One measurement with its dimensions.
private final class Series: CounterHandler, FloatingPointCounterHandler, RecorderHandler, MeterHandler, TimerHandler {
  enum Kind {
    case counter, gauge, summary, timer

    var type: String {
      switch self {
      case .counter: "counter"
      case .gauge: "gauge"
      case .summary, .timer: "summary"
      }
    }

    var suffix: String {
      switch self {
      case .counter: "_total"
      case .gauge, .summary: ""
      case .timer: "_seconds"
      }
    }
  }

  let kind: Kind
  private let state = Mutex((value: 0.0, count: 0))

  init(_ kind: Kind) { self.kind = kind }

  func lines(_ name: String, _ dimensions: String) -> [String] {
    let (value, count) = state.withLock { $0 }
    return switch kind {
    case .counter, .gauge: ["\(name)\(dimensions) \(text(value))"]
    case .summary, .timer: ["\(name)_sum\(dimensions) \(text(value))", "\(name)_count\(dimensions) \(count)"]
    }
  }

  private func text(_ value: Double) -> String {
    Int(exactly: value).map(String.init) ?? "\(value)"
  }

  private func add(_ value: Double) { state.withLock { $0 = ($0.value + value, $0.count + 1) } }

  private func take(_ value: Double) {
    if kind == .gauge { set(value) } else { add(value) }
  }

  func increment(by amount: Int64) { add(Double(amount)) }
  func increment(by amount: Double) { add(amount) }
  func decrement(by amount: Double) { add(-amount) }
  func reset() { state.withLock { $0 = (0, 0) } }
  func record(_ value: Int64) { take(Double(value)) }
  func record(_ value: Double) { take(value) }
  func set(_ value: Int64) { set(Double(value)) }
  func set(_ value: Double) { state.withLock { $0 = (value, $0.count + 1) } }
  func recordNanoseconds(_ duration: Int64) { add(Double(duration) / 1e9) }
}
