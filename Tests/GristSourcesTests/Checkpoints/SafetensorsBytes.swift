import GristCore
import GristSources
import Testing

/// A safetensors file as literal bytes: the length word, the header, the data.
func safetensors(_ header: String, data: Int = 0, length: UInt64? = nil) -> [UInt8] {
  safetensors(Array(header.utf8), data: data, length: length)
}

func safetensors(_ header: [UInt8], data: Int = 0, length: UInt64? = nil) -> [UInt8] {
  var bytes: [UInt8] = []
  withUnsafeBytes(of: (length ?? UInt64(header.count)).littleEndian) { bytes += $0 }
  return bytes + header + (0..<data).map { UInt8(truncatingIfNeeded: $0 + 1) }
}

/// One tensor's entry in a header.
func entry(_ name: String, _ dtype: String, _ shape: [Int], _ start: Int, _ end: Int) -> String {
  #""\#(name)":{"dtype":"\#(dtype)","shape":[\#(shape.map(String.init).joined(separator: ","))],"data_offsets":[\#(start),\#(end)]}"#
}

/// What a reader must say about a file.
struct Refusal: Equatable {
  var what: String
  var tensor: String?
  var offset: UInt64?
  var found: String?
}

/// Parses bytes that must be refused with 65, naming the file, and returns the rest of what was said.
func refusal(of bytes: [UInt8], sourceLocation: SourceLocation = #_sourceLocation) -> Refusal? {
  let error = #expect(throws: GristError.self, sourceLocation: sourceLocation) {
    _ = try SafetensorsFile(Bytes(bytes), path: "dir/model.safetensors")
  }
  guard let error else { return nil }
  #expect(error.code == .badData, sourceLocation: sourceLocation)
  #expect(error.file == "dir/model.safetensors", sourceLocation: sourceLocation)
  return Refusal(what: error.what, tensor: error.tensor, offset: error.offset, found: error.found)
}
