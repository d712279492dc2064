import ArgumentParser
import GristCore
import GristSigning

struct Sign: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Sign a model, so that others can tell that it is yours and unchanged.",
    discussion: """
      Writes a detached signature in the format of the OpenSSF Model Signing specification 1.0, which other programs \
      verify too (the package model_signing). A key on P-256: openssl ecparam -name prime256v1 -genkey -noout -out key.pem
      """)

  @Argument(help: "A .grist file, or a folder.")
  var model: String

  @Option(help: ArgumentHelp("The private key, in PEM: P-256, P-384 or P-521.", valueName: "file"))
  var key: String

  @Option(help: ArgumentHelp("The key's certificate, in PEM.", valueName: "file"))
  var certificate: String?

  @Option(help: ArgumentHelp("Certificates that it leads to, in PEM; may be repeated.", valueName: "file"))
  var authority: [String] = []

  @Option(
    name: .shortAndLong, help: ArgumentHelp("The signature to write. Default: MODEL.sig", valueName: "signature"))
  var output: String?

  @Flag(
    help: "Put the signature into the .grist file, over its index and every chunk, for `run --require-signature`.")
  var into = false

  @Option(help: ArgumentHelp("Leave out a path in the folder; may be repeated.", valueName: "path"))
  var ignorePath: [String] = []

  @Flag(
    help:
      "Call a model that is one file by its name, as the specification's text has it. Without, as the package model_signing calls it, which refuses the other."
  )
  var nameFile = false

  @OptionGroup var outputs: OutputOptions
  @OptionGroup var global: GlobalOptions

  func validate() throws {
    if certificate == nil, !authority.isEmpty { throw ValidationError("--authority goes with --certificate") }
    if into, output != nil || !ignorePath.isEmpty || nameFile {
      throw ValidationError("--into takes neither --output, --ignore-path nor --name-file")
    }
  }

  func run() throws {
    let signing = try Signing(key: key, certificate: certificate, authorities: authority, ignoring: ignorePath)
    if into {
      try IndexSignature.add(to: model, by: signing)
      if global.json {
        try Console.print(["output": JSONValue(model)])
      } else if !global.quiet {
        try Console.print("\(model): signed")
      }
      return
    }
    let path = output ?? defaultSignature(of: model)
    let file = try outputs.file(path, .signature)
    try signing.sign(model, to: file, namesFile: nameFile)
    if global.json {
      try Console.print(["output": JSONValue(path)])
    } else if !global.quiet {
      try Console.print("\(path): the signature of \(model)")
    }
  }
}

struct VerifySignature: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Tell whether a model is what somebody signed.",
    discussion: """
      Holds all of the model's bytes to a signature in the format of the OpenSSF Model Signing specification 1.0. Exit \
      code 0 when they are what was signed, and by whom it should be; 1 when not.
      """)

  @Argument(help: "A .grist file, or a folder.")
  var model: String

  @Option(help: ArgumentHelp("The signature. Default: MODEL.sig", valueName: "file"))
  var signature: String?

  @Option(help: ArgumentHelp("The signer's public key, in PEM.", valueName: "file"))
  var key: String?

  @Option(
    help: ArgumentHelp("A certificate that the signer's must lead to, in PEM; may be repeated.", valueName: "file"))
  var trust: [String] = []

  @Option(help: ArgumentHelp("Do not look at a path in the folder; may be repeated.", valueName: "path"))
  var ignorePath: [String] = []

  @Flag(help: "Files may be there that were not signed.")
  var ignoreUnsignedFiles = false

  @OptionGroup var global: GlobalOptions

  func validate() throws {
    if (key == nil) == trust.isEmpty { throw ValidationError("give either --key or --trust") }
  }

  func run() throws {
    let verification = SignatureVerification(
      key.map { .key($0) } ?? .authorities(trust), ignoring: ignorePath, allowsOtherFiles: ignoreUnsignedFiles)
    let path = signature ?? defaultSignature(of: model)
    let files = try verification.verify(model, signature: path)
    if global.json {
      try Console.print(["verified": true, "files": JSONValue(files)])
    } else if !global.quiet {
      try Console.print("\(model): \(files == 1 ? "it is" : "all \(files) files are") what was signed")
    }
  }
}

/// Beside the model, whatever it ends in.
private func defaultSignature(of model: String) -> String {
  var path = model
  while path.count > 1, path.hasSuffix("/") { path.removeLast() }
  return path + ".sig"
}
