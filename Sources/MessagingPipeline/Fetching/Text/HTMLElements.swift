/// What kinds of elements HTML has, as far as their text is concerned.
enum HTMLElements {
    /// Elements that stand on lines of their own.
    static let blocks: Set<String> = set(
        """
        address article aside blockquote body br center dd details dialog dir div dl dt fieldset figcaption figure footer
        form h1 h2 h3 h4 h5 h6 header hgroup hr html legend li main menu nav ol optgroup option p pre section summary
        table tbody tfoot thead title tr ul
        """
    )
    /// Elements that are apart from their neighbours on the same line.
    static let cells: Set<String> = ["td", "th", "caption", "img", "button", "input", "label"]
    /// Elements whose content is no text to read.
    static let dropped: Set<String> = set(
        "applet audio canvas embed head iframe math noembed noframes object script select style svg template textarea video"
    )
    /// All elements of HTML, old ones too.
    static let known: Set<String> = blocks.union(cells).union(dropped).union(
        set(
            """
            a abbr acronym area b base basefont bdi bdo big cite code col colgroup data datalist del dfn em font frame
            frameset i ins kbd link map mark marquee meta meter nobr noscript output param picture progress q rb rp rt
            rtc ruby s samp search slot small source span strike strong sub sup time track tt u var wbr
            """
        )
    )

    private static func set(_ names: String) -> Set<String> {
        Set(names.split(whereSeparator: \.isWhitespace).map(String.init))
    }
}
