/// The fixed parts of the report's page.
package enum ReportStyle {
  /// Colours of the two sides are told apart by lightness too, and no verdict is shown by colour alone.
  package static let css = """
    :root {
      --ground: #fbfaf7; --card: #ffffff; --ink: #1f2328; --soft: #667079; --line: #e2dfd8;
      --reference: #a9b4be; --model: #b0631b; --good: #1d7a46; --bad: #b3261e; --tie: #8a6100;
    }
    @media (prefers-color-scheme: dark) {
      :root {
        --ground: #16181b; --card: #1e2125; --ink: #e6e4df; --soft: #9aa3ab; --line: #33383d;
        --reference: #66727d; --model: #e39a4f; --good: #5cc489; --bad: #f28b82; --tie: #e0b64a;
      }
    }
    * { box-sizing: border-box; }
    body {
      margin: 0; background: var(--ground); color: var(--ink);
      font: 15px/1.5 system-ui, -apple-system, "Segoe UI", "Liberation Sans", sans-serif;
    }
    main { max-width: 1120px; margin: 0 auto; padding: 32px 24px 48px; }
    h1 { margin: 0; font-size: 28px; line-height: 1.2; overflow-wrap: anywhere; }
    h2 { margin: 36px 0 10px; font-size: 18px; }
    p { margin: 0 0 10px; }
    small, .none, .legend, footer, .question { color: var(--soft); }
    td small { display: block; font-size: 12px; white-space: nowrap; }
    .against { margin: 4px 0 0; color: var(--soft); overflow-wrap: anywhere; }
    .verdict {
      float: right; margin: 0 0 8px 24px; padding: 5px 18px; border-radius: 8px; color: var(--ground);
      font-size: 20px; font-weight: 700;
    }
    .verdict.good { background: var(--good); }
    .verdict.bad { background: var(--bad); }
    .why { clear: right; margin: 16px 0 0; padding: 10px 16px 10px 34px; border-left: 4px solid var(--bad); background: var(--card); }
    .figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(160px, 1fr)); gap: 12px; margin-top: 24px; }
    .figure { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 12px 14px; }
    .figure h2 { margin: 0; font-size: 13px; font-weight: 600; color: var(--soft); }
    .figure p { margin: 0; font-size: 12.5px; color: var(--soft); }
    .figure .value { font-size: 25px; font-weight: 650; color: var(--ink); line-height: 1.35; }
    .figure.bad .value, td.bad { color: var(--bad); font-weight: 650; }
    .meter { position: relative; height: 6px; margin: 2px 0 6px; border-radius: 3px; background: var(--line); }
    .meter i { display: block; height: 100%; border-radius: 3px; background: var(--good); }
    .figure.bad .meter i { background: var(--bad); }
    .meter::after {
      content: ""; position: absolute; left: 50%; top: -3px; width: 2px; height: 12px; background: var(--ink);
    }
    .scroll { overflow-x: auto; background: var(--card); border: 1px solid var(--line); border-radius: 10px; }
    table { border-collapse: collapse; width: 100%; }
    th, td { padding: 10px 14px; text-align: left; vertical-align: top; }
    th { font-size: 12.5px; color: var(--soft); font-weight: 600; white-space: nowrap; }
    code { font-size: 12px; overflow-wrap: anywhere; }
    tr.answers td { padding-top: 0; }
    .sides { display: flex; gap: 24px; flex-wrap: wrap; }
    .sides div { flex: 1 1 320px; }
    .sides small { display: inline; }
    .sides p { margin: 2px 0 0; overflow-wrap: anywhere; }
    .sides .key { margin-left: 0; }
    tbody tr { border-top: 1px solid var(--line); }
    tbody tr.answers { border-top: none; }
    .n { text-align: right; font-variant-numeric: tabular-nums; }
    .parts { width: fit-content; max-width: 100%; }
    .cases td:nth-child(2), .cases td:nth-child(4) { white-space: nowrap; }
    .question { margin: 2px 0 0; max-width: 34ch; font-size: 13px; }
    .picture { display: block; margin: 0 0 6px; background-size: 100% 100%; image-orientation: none; border-radius: 3px; }
    .turned { image-orientation: from-image; }
    .picture path { fill: none; }
    .picture .unseen { fill: #000; fill-opacity: .6; }
    .picture .under { stroke: #000; stroke-opacity: .35; stroke-width: 1.4; }
    .picture .over { stroke: #fff; stroke-opacity: .75; stroke-width: .6; }
    .picture .tiles { stroke: #ffb25c; stroke-width: 1.6; }
    .pill { border: 1px solid currentColor; border-radius: 999px; padding: 0 8px; font-size: 12px; font-weight: 650; }
    .agrees { color: var(--good); }
    .tie, .aligned { color: var(--tie); }
    .differs { color: var(--bad); }
    .legend { font-size: 12.5px; }
    .key { display: inline-block; width: 11px; height: 11px; margin: 0 3px -1px 10px; }
    .key:first-child { margin-left: 0; }
    .key.r { background: var(--reference); }
    .key.m { background: var(--model); }
    .key.dot { width: 7px; height: 7px; margin-bottom: 1px; border-radius: 50%; background: var(--ink); }
    .chart { display: block; }
    .chart .r { fill: var(--reference); }
    .chart .m { fill: var(--model); }
    .chart line { stroke: var(--soft); stroke-width: 1; }
    .chart text { fill: var(--soft); font-size: 10px; text-anchor: middle; }
    dl { max-width: 80ch; }
    dt { font-weight: 650; }
    dd { margin: 0 0 8px; color: var(--soft); }
    footer { margin-top: 36px; font-size: 12.5px; }
    @media print { .picture { print-color-adjust: exact; } body { background: none; } .scroll, .figure { break-inside: avoid; } }
    """

  static func howToRead(hasTextFilter: Bool) -> String {
    """
    <section>
    <h2>How to read this</h2>
    <dl>
    <dt>Router's choice</dt>
    <dd>How many visual tokens a tile the router asked for, reference first. A choice that differs is a tie when the \
    reference's own margin was below the tie limit; ties are shown, but do not fail a model.</dd>
    \(hasTextFilter ? textFilter : "")
    <dt>KL divergence, top-1, greedy match</dt>
    <dd>Both models answer from the same visual tokens and are fed the reference's own answer token by token. KL is how \
    far the model's distribution over the next token is from the reference's, in nats. Top-1 counts positions with the \
    same most likely token; the greedy match is how many tokens come out the same before the first that does not. The \
    mean KL decides; the other two are for information. The answers shown are each model's own: where the model's departs from \
    the reference's, it goes on by itself.</dd>
    <dt>Weights</dt>
    <dd>Against a checkpoint, every stored tensor is compared with the checkpoint's own. It may differ by the error that \
    the file recorded for it, and no more. A record has no weights to compare.</dd>
    </dl>
    </section>
    """
  }

  private static let textFilter = """
    <dt>Text filter</dt>
    <dd>Before it decides, the router picks the prompt's tokens that are most like the picture, and looks at them in that \
    order. A set or an order that changed can flip a later choice even where this one held.</dd>
    """
}
