/// Names that every template knows.
enum TemplateGlobals {
  static func all(_ clock: ChatProgram.Clock?) -> [String: TemplateValue] {
    func function(_ name: String, _ body: @escaping (TemplateArguments) throws -> TemplateValue) -> (
      String, TemplateValue
    ) {
      (name, .callable(TemplateCallable(name, body)))
    }
    return Dictionary(
      [
        function("range") { arguments in
          let values = try arguments.positional.map { value in
            guard let number = value.asInteger else {
              if case .undefined(let what) = value { throw TemplateError(what) }
              throw TemplateError("'\(value.typeName)' object cannot be interpreted as an integer")
            }
            return number
          }
          guard (1...3).contains(values.count) else { throw TemplateError("range expected 1 to 3 arguments") }
          let (start, stop) = values.count == 1 ? (0, values[0]) : (values[0], values[1])
          let step = values.count == 3 ? values[2] : 1
          guard step != 0 else { throw TemplateError("range() arg 3 must not be zero") }
          let greatest = 100_000
          // The sandbox's own limit.
          let numbers = stride(from: start, to: stop, by: step).prefix(greatest + 1).map { TemplateValue.integer($0) }
          guard numbers.count <= greatest else {
            throw TemplateError("Range too big. The sandbox blocks ranges larger than MAX_RANGE (\(greatest)).")
          }
          return .list(numbers)
        },
        function("dict") { arguments in
          var dictionary = TemplateDictionary()
          if let first = arguments.positional.first {
            if case .dictionary(let given) = first {
              dictionary = given
            } else {
              for pair in first.items ?? [] {
                guard let items = pair.items, items.count == 2, let key = items[0].key else {
                  throw TemplateError("dictionary update sequence element has another length than 2")
                }
                dictionary.set(items[0], key, items[1])
              }
            }
          }
          for (name, value) in arguments.named { dictionary.set(name, value) }
          return .dictionary(dictionary)
        },
        function("namespace") { arguments in
          let namespace = TemplateNamespace()
          if case .dictionary(let given)? = arguments.positional.first { namespace.members = given }
          for (name, value) in arguments.named { namespace.members.set(name, value) }
          return .namespace(namespace)
        },
        function("raise_exception") { arguments in
          throw TemplateError(try arguments.required(0, "message").text.string, nil, isRaised: true)
        },
        function("strftime_now") { arguments in
          guard let clock else { throw TemplateError("the template asks for the date, and none was given") }
          guard let format = try arguments.text(0, "format") else {
            throw TemplateError("strftime() argument 1 must be str")
          }
          return .string(try clock.text(format))
        },
        function("joiner") { arguments in
          let separator = arguments.value(0, "sep") ?? TemplateValue(", ")
          let used = TemplateNamespace()
          return .callable(
            TemplateCallable("joiner") { _ in
              defer { used.members.set("used", .bool(true)) }
              return used.members.count > 0 ? separator : TemplateValue("")
            })
        },
        function("cycler") { arguments in
          let items = arguments.positional
          guard !items.isEmpty else { throw TemplateError("at least one item has to be provided") }
          let state = TemplateNamespace()
          let next = TemplateCallable("next") { _ in
            let place = state.members["place"]?.asInteger ?? 0
            state.members.set("place", .integer((place + 1) % items.count))
            return items[place]
          }
          let attributes: [String: TemplateValue] = ["next": .callable(next)]
          return .callable(TemplateCallable("cycler", attributes: attributes) { _ in .none })
        },
      ], uniquingKeysWith: { first, _ in first })
  }
}
