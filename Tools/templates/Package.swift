// swift-tools-version: 6.1
import PackageDescription

// Renders chat templates that ./compare also renders with jinja2.
let package = Package(
  name: "templates",
  dependencies: [.package(name: "gristmill", path: "../..")],
  targets: [
    .executableTarget(
      name: "render",
      dependencies: ["GristCore", "GristTemplates"].map { .product(name: $0, package: "gristmill") })
  ],
  swiftLanguageModes: [.v6]
)
