import GristCore

/// The name maps of `Formats/maps`, which are part of the library. Each is read when it is first asked for: `.grist`
/// files need none.
enum BundledMaps {
  static let huggingFaceLLaVA = map(PackageResources.hugging_face_llava_map)
  static let huggingFaceCLIP = map(PackageResources.hugging_face_clip_map)
  static let kerasHubLLaMA = map(PackageResources.keras_hub_llama_map)
  static let kerasHubCLIP = map(PackageResources.keras_hub_clip_map)
  static let plain = map(PackageResources.plain_map)

  /// Those that any family's checkpoint may need.
  static let common = [plain]

  /// A map that this version was built with; a test reads them all.
  private static func map(_ bytes: [UInt8]) -> NameMap {
    do {
      return try NameMap(String(decoding: bytes, as: UTF8.self), file: "Formats/maps")
    } catch {
      preconditionFailure("a bundled name map cannot be read: \(error)")
    }
  }
}
