// swift-tools-version: 6.1
import PackageDescription

// Decodes pictures that ./compare also decodes with Pillow.
let package = Package(
  name: "pictures",
  dependencies: [.package(name: "gristmill", path: "../..")],
  targets: [
    .executableTarget(
      name: "decode",
      dependencies: ["GristCore", "GristImaging"].map { .product(name: $0, package: "gristmill") })
  ],
  swiftLanguageModes: [.v6]
)
