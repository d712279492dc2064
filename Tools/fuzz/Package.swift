// swift-tools-version: 6.1
import PackageDescription

// Readers of files from outside, under libFuzzer; ./run builds and runs it.
let package = Package(
  name: "fuzz",
  dependencies: [.package(name: "gristmill", path: "../..")],
  targets: [
    .systemLibrary(name: "CLibFuzzer"),
    .executableTarget(
      name: "fuzz",
      dependencies: [
        "GristCore", "GristFormat", "GristTemplates", "GristSources", "GristImaging", "GristModel", "GristConversion",
        "GristVerification", "GristServing",
      ].map {
        .product(name: $0, package: "gristmill")
      } + ["CLibFuzzer"]),
  ],
  swiftLanguageModes: [.v6]
)
