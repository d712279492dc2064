// swift-tools-version: 6.1
import PackageDescription

// A package of its own that stands on Gristmill's products, as its users' do: each program is one way to use the
// library.
let package = Package(
  name: "example",
  dependencies: [.package(name: "gristmill", path: "../..")],
  targets: ["convert", "verify", "family", "page"].map {
    .executableTarget(name: $0, dependencies: [.product(name: "GristmillKit", package: "gristmill")])
  },
  swiftLanguageModes: [.v6]
)
