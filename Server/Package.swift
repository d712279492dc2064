// swift-tools-version: 6.1
import PackageDescription

// The server: sockets and the page. A package of its own, so that building and testing the toolkit does not build it.
let package = Package(
  name: "gristmill-server",
  products: [.executable(name: "gristmill-server", targets: ["gristmill-server"])],
  dependencies: [
    .package(name: "gristmill", path: ".."),
    .package(url: "https://github.com/hummingbird-project/hummingbird", from: "2.16.0"),
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.5.0"),
  ],
  targets: [
    .target(
      name: "GristServer",
      dependencies: [
        .product(name: "GristCore", package: "gristmill"),
        .product(name: "GristModel", package: "gristmill"),
        .product(name: "GristServing", package: "gristmill"),
        .product(name: "Hummingbird", package: "hummingbird"),
      ],
      resources: [.embedInCode("Page/index.html"), .embedInCode("Page/openapi.json")]),
    .executableTarget(
      name: "gristmill-server",
      dependencies: [
        "GristServer",
        .product(name: "GristmillKit", package: "gristmill"),
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ]),
    .testTarget(
      name: "GristServerTests",
      dependencies: [
        "GristServer",
        .product(name: "GristmillKit", package: "gristmill"),
        .product(name: "HummingbirdTesting", package: "hummingbird"),
      ]),
  ],
  swiftLanguageModes: [.v6]
)
