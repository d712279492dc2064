/// A piece of a template: text as it is, or a token inside of a tag.
enum TemplateToken: Equatable {
  case text(Text)
  case variableBegin, variableEnd, blockBegin, blockEnd
  case name(String)
  case string(Text)
  case integer(Int)
  case number(Double)
  case mark(String)
  case end
}

/// Cuts a template into tokens as Jinja does with `trim_blocks` and `lstrip_blocks`.
struct TemplateLexer {
  private let source: [Unicode.Scalar]
  private var position = 0
  private var tokens: [(token: TemplateToken, place: TemplatePlace)] = []
  private var place = TemplatePlace(line: 1, column: 1)
  private var counted = 0
  /// Whether the last piece ended a line.
  private var startsLine = true

  private init(_ source: [Unicode.Scalar]) { self.source = source }

  static func tokens(of template: String) throws -> [(token: TemplateToken, place: TemplatePlace)] {
    // Line ends are "\n", and the last one is no part of the template.
    var scalars: [Unicode.Scalar] = []
    for scalar in template.unicodeScalars {
      if scalar == "\n", scalars.last == "\r" { scalars.removeLast() }
      scalars.append(scalar)
    }
    scalars = scalars.map { $0 == "\r" ? "\n" : $0 }
    if scalars.last == "\n" { scalars.removeLast() }
    var lexer = TemplateLexer(scalars)
    try lexer.run()
    return lexer.tokens
  }

  /// Where a position is; asked for in order.
  private mutating func place(of position: Int) -> TemplatePlace {
    if position < counted { (place, counted) = (TemplatePlace(line: 1, column: 1), 0) }
    while counted < position {
      if source[counted] == "\n" {
        place = TemplatePlace(line: place.line + 1, column: 1)
      } else {
        place.column += 1
      }
      counted += 1
    }
    return place
  }

  private mutating func failure(_ what: String, at position: Int? = nil) -> TemplateError {
    TemplateError(what, place(of: position ?? self.position))
  }

  private func has(_ text: String, at position: Int) -> Bool {
    let scalars = text.unicodeScalars
    return position + scalars.count <= source.count
      && source[position..<position + scalars.count].elementsEqual(scalars)
  }

  private mutating func add(_ token: TemplateToken, at position: Int) { tokens.append((token, place(of: position))) }

  private mutating func run() throws {
    while position < source.count {
      let start = position
      // The next tag of any kind.
      while position < source.count,
        !(source[position] == "{" && position + 1 < source.count && "{%#".unicodeScalars.contains(source[position + 1]))
      {
        position += 1
      }
      guard position < source.count else {
        add(.text(Text(source[start...])), at: start)
        break
      }
      let kind = source[position + 1]
      let opened = position
      position += 2
      var sign: Unicode.Scalar?
      if position < source.count, source[position] == "-" || source[position] == "+" {
        sign = source[position]
        position += 1
      }
      addText(start..<opened, sign: sign, isVariable: kind == "{")
      switch kind {
      case "#": try comment(from: opened)
      case "{":
        add(.variableBegin, at: opened)
        startsLine = false
        try inside(closing: "}}", .variableEnd, from: opened)
      default:
        if try raw(from: opened) { continue }
        add(.blockBegin, at: opened)
        startsLine = false
        try inside(closing: "%}", .blockEnd, from: opened)
      }
    }
    add(.end, at: source.count)
  }

  /// The text before a tag, without what the tag strips of it.
  private mutating func addText(_ range: Range<Int>, sign: Unicode.Scalar?, isVariable: Bool) {
    var text = Text(source[range])
    if sign == "-" {
      text = text.stripped(left: false)
    } else if sign != "+", !isVariable {
      // Blanks between the line's beginning and the tag.
      let line = (text.scalars.lastIndex(of: "\n") ?? -1) + 1
      if line > 0 || startsLine, line < text.count, text.scalars[line...].allSatisfy(Text.isBlank) {
        text = Text(text.scalars[..<line])
      }
    }
    if !range.isEmpty { startsLine = source[range.upperBound - 1] == "\n" }
    if !text.isEmpty { add(.text(text), at: range.lowerBound) }
  }

  /// Goes on behind a tag's end, whose own bytes are behind `position` already.
  private mutating func strip(_ sign: Unicode.Scalar?, isBlock: Bool) {
    startsLine = false
    if sign == "-" {
      while position < source.count, Text.isBlank(source[position]) {
        startsLine = source[position] == "\n"
        position += 1
      }
    } else if sign != "+", isBlock, position < source.count, source[position] == "\n" {
      position += 1
      startsLine = true
    }
  }

  private mutating func comment(from opened: Int) throws {
    // A sign that opens may be the one that closes.
    position = opened + 2
    while position + 1 < source.count, !(source[position] == "#" && source[position + 1] == "}") { position += 1 }
    guard position + 1 < source.count else { throw failure("a comment has no end", at: opened) }
    let before = source[position - 1]
    position += 2
    strip(position - 2 > opened + 2 && (before == "-" || before == "+") ? before : nil, isBlock: true)
  }

  /// The sign of a tag's edge that says what becomes of blanks there, passed over; nil where there is none.
  private func takeSign(at place: inout Int) -> Unicode.Scalar? {
    guard place < source.count, source[place] == "-" || source[place] == "+" else { return nil }
    defer { place += 1 }
    return source[place]
  }

  /// Text between `raw` and `endraw`, if the tag is one.
  private mutating func raw(from opened: Int) throws -> Bool {
    var next = position
    while next < source.count, Text.isBlank(source[next]) { next += 1 }
    guard has("raw", at: next) else { return false }
    next += 3
    while next < source.count, Text.isBlank(source[next]) { next += 1 }
    let sign = takeSign(at: &next)
    guard has("%}", at: next) else { return false }
    position = next + 2
    strip(sign, isBlock: true)
    let start = position
    while position < source.count {
      guard has("{%", at: position) else {
        position += 1
        continue
      }
      let tag = position
      var inner = position + 2
      let openSign = takeSign(at: &inner)
      while inner < source.count, Text.isBlank(source[inner]) { inner += 1 }
      guard has("endraw", at: inner) else {
        position += 1
        continue
      }
      inner += 6
      while inner < source.count, Text.isBlank(source[inner]) { inner += 1 }
      let closeSign = takeSign(at: &inner)
      guard has("%}", at: inner) else {
        position += 1
        continue
      }
      addText(start..<tag, sign: openSign, isVariable: false)
      position = inner + 2
      strip(closeSign, isBlock: true)
      return true
    }
    throw failure("a raw block has no end", at: opened)
  }

  // MARK: inside of tags

  private static let marks = [
    "//", "**", "==", "!=", ">=", "<=", "+", "-", "/", "*", "%", "~", "[", "]", "(", ")", "{", "}", ">", "<", "=", ".",
    ":",
    "|", ",", ";",
  ]

  private mutating func inside(closing: String, _ end: TemplateToken, from opened: Int) throws {
    var brackets: [Unicode.Scalar] = []
    while position < source.count {
      let scalar = source[position]
      if Text.isBlank(scalar) {
        position += 1
        continue
      }
      if brackets.isEmpty {
        for sign in ["-", "+", ""] where has(sign + closing, at: position) && !(sign == "+" && closing == "}}") {
          let start = position
          position += sign.unicodeScalars.count + 2
          add(end, at: start)
          strip(sign.unicodeScalars.first, isBlock: closing == "%}")
          return
        }
      }
      let start = position
      if scalar == "'" || scalar == "\"" {
        add(.string(try string()), at: start)
      } else if ("0"..."9").contains(scalar) {
        add(try number(), at: start)
      } else if scalar == "_" || scalar.properties.isXIDStart {
        while position < source.count, source[position] == "_" || source[position].properties.isXIDContinue {
          position += 1
        }
        add(.name(Text(source[start..<position]).string), at: start)
      } else if let mark = Self.marks.first(where: { has($0, at: start) }) {
        position += mark.unicodeScalars.count
        switch mark {
        case "(", "[", "{": brackets.append(scalar)
        case ")", "]", "}":
          guard let open = brackets.popLast(), "([{".contains(Character(open)),
            [")": "(", "]": "[", "}": "{"][mark] == String(open)
          else { throw failure("unexpected \"\(mark)\"", at: start) }
        default: break
        }
        add(.mark(mark), at: start)
      } else {
        throw failure("unexpected character \"\(scalar)\"", at: start)
      }
    }
    throw failure("a tag has no end", at: opened)
  }

  private mutating func number() throws -> TemplateToken {
    let start = position
    let next = position + 1 < source.count ? source[position + 1].properties.lowercaseMapping : ""
    if source[position] == "0", let radix = ["x": 16, "o": 8, "b": 2][next] {
      position += 2
      let digits = takeDigits(radix)
      guard let value = Int(digits, radix: radix) else { throw failure("a number that makes no sense", at: start) }
      return .integer(value)
    }
    var text = takeDigits(10)
    var isWhole = true
    if position + 1 < source.count, source[position] == ".", ("0"..."9").contains(source[position + 1]) {
      position += 1
      text += "." + takeDigits(10)
      isWhole = false
    }
    if position < source.count, source[position] == "e" || source[position] == "E" {
      var ahead = position + 1
      if ahead < source.count, source[ahead] == "+" || source[ahead] == "-" { ahead += 1 }
      if ahead < source.count, ("0"..."9").contains(source[ahead]) {
        text += "e" + (source[ahead - 1] == "-" ? "-" : "")
        position = ahead
        text += takeDigits(10)
        isWhole = false
      }
    }
    if isWhole {
      guard let value = Int(text) else { throw failure("a number beyond 64 bits", at: start) }
      return .integer(value)
    }
    guard let value = Double(text) else { throw failure("a number that makes no sense", at: start) }
    return .number(value)
  }

  private mutating func takeDigits(_ radix: Int) -> String {
    var digits = ""
    while position < source.count {
      let scalar = source[position]
      if scalar == "_" {
        position += 1
        continue
      }
      guard scalar.isASCII, let value = Character(scalar).hexDigitValue, value < radix else { break }
      digits.unicodeScalars.append(scalar)
      position += 1
    }
    return digits
  }

  /// A string's value, Python's escapes resolved.
  private mutating func string() throws -> Text {
    let (quote, start) = (source[position], position)
    position += 1
    var result: [Unicode.Scalar] = []
    while position < source.count {
      let scalar = source[position]
      position += 1
      if scalar == quote { return Text(result) }
      guard scalar == "\\" else {
        result.append(scalar)
        continue
      }
      guard position < source.count else { break }
      let kind = source[position]
      position += 1
      switch kind {
      case "\n": break
      case "\\", "'", "\"": result.append(kind)
      case "a": result.append("\u{7}")
      case "b": result.append("\u{8}")
      case "f": result.append("\u{c}")
      case "n": result.append("\n")
      case "r": result.append("\r")
      case "t": result.append("\t")
      case "v": result.append("\u{b}")
      case "x": result.append(try escape(2))
      case "u": result.append(try escape(4))
      case "U": result.append(try escape(8))
      case "0"..."7":
        var value = kind.value - 48
        for _ in 0..<2 where position < source.count && ("0"..."7").contains(source[position]) {
          value = value * 8 + source[position].value - 48
          position += 1
        }
        result.append(Unicode.Scalar(value) ?? "\u{fffd}")
      default: result += ["\\", kind]
      }
    }
    throw failure("a string has no end", at: start)
  }

  private mutating func escape(_ count: Int) throws -> Unicode.Scalar {
    let start = position
    var value: UInt32 = 0
    for _ in 0..<count {
      guard position < source.count, source[position].isASCII, let digit = Character(source[position]).hexDigitValue
      else {
        throw failure("an escape that makes no sense", at: start)
      }
      value = value << 4 | UInt32(digit)
      position += 1
    }
    guard let scalar = Unicode.Scalar(value) else { throw failure("an escape that is no character", at: start) }
    return scalar
  }
}
