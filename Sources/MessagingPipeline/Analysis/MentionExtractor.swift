/// Finds the amounts, shares and days a text mentions.
struct MentionExtractor: Sendable {
    /// The most mentions of one statement that are kept.
    static let limit = 256

    private static let symbols = ["$": "USD", "€": "EUR", "£": "GBP", "¥": "JPY", "₹": "INR", "₽": "RUB", "₿": "BTC"]
    private static let currencies = [
        "dollar": "USD", "dollars": "USD", "usd": "USD", "bucks": "USD", "euro": "EUR", "euros": "EUR", "eur": "EUR",
        "pounds": "GBP", "gbp": "GBP", "yen": "JPY", "jpy": "JPY", "yuan": "CNY", "renminbi": "CNY", "cny": "CNY",
        "francs": "CHF", "chf": "CHF", "rubles": "RUB", "rupees": "INR", "pesos": "MXN", "bitcoin": "BTC", "btc": "BTC",
    ]
    private static let scales: [String: Double] = [
        "thousand": 1e3, "million": 1e6, "mn": 1e6, "mio": 1e6, "billion": 1e9, "bn": 1e9, "trillion": 1e12, "tn": 1e12,
    ]
    // Single letters count only right behind the number.
    private static let letterScales: [String: Double] = [
        "k": 1e3, "m": 1e6, "mm": 1e6, "mil": 1e6, "b": 1e9, "t": 1e12,
    ]
    private static let months: Set<String> = [
        "january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november",
        "december", "jan", "feb", "mar", "apr", "jun", "jul", "aug", "sep", "sept", "oct", "nov", "dec",
    ]

    /// The mentions in the order of the text.
    static func mentions(in tokens: [Token]) -> [Mention] {
        var reader = MentionExtractor(tokens: tokens)
        var found: [Mention] = []
        while reader.index < tokens.count && found.count < limit {
            if let (mention, end) = reader.date() ?? reader.amount() {
                found.append(mention)
                reader.index = end
            } else {
                reader.index += 1
            }
        }
        return found
    }

    private let tokens: [Token]
    private var index = 0

    private init(tokens: [Token]) {
        self.tokens = tokens
    }

    private func token(_ position: Int) -> Token? {
        position < tokens.count ? tokens[position] : nil
    }

    private func word(_ position: Int) -> String? {
        token(position).flatMap { $0.kind == .word ? $0.key : nil }
    }

    private func isAdjacent(_ position: Int, _ text: String) -> Bool {
        token(position).map { $0.text == text && !$0.hasSpaceBefore } ?? false
    }

    // MARK: Amounts and shares

    /// Money or a share that begins at the index, and the index after it.
    private func amount() -> (Mention, Int)? {
        var position = index
        var unit: String?
        let isSigned = token(position)?.text == "-" && token(position)?.hasSpaceBefore == true
        if isSigned {
            position += 1
            if token(position)?.hasSpaceBefore == true { return nil }
        }
        if let first = token(position), let currency = Self.symbols[first.text] ?? Self.code(first) {
            unit = currency
            position += 1
        }
        guard let number = token(position), number.kind == .number,
            var value = Double(number.text.filter { $0 != "," }), value.isFinite
        else { return nil }
        position += 1
        if isSigned { value.negate() }

        if unit == nil, let (shareUnit, end) = share(position) {
            return (Mention(kind: .percent, text: text(index..<end), value: value, unit: shareUnit), end)
        }
        let scale = token(position).flatMap { next in
            next.kind == .word
                ? Self.scales[next.key] ?? (next.hasSpaceBefore ? nil : Self.letterScales[next.key]) : nil
        }
        if let scale {
            value *= scale
            position += 1
        }
        if unit == nil, let name = word(position), let currency = Self.currencies[name] {
            unit = currency
            position += 1
        }
        guard let unit else { return nil }
        return (Mention(kind: .money, text: text(index..<position), value: value, unit: unit), position)
    }

    /// A currency written in capitals before an amount, such as USD.
    private static func code(_ token: Token) -> String? {
        token.kind == .word && token.text.utf8.count == 3 && token.text == token.text.uppercased()
            ? currencies[token.key] : nil
    }

    /// The unit of a share, and the index after it.
    private func share(_ start: Int) -> (String, Int)? {
        var position = start
        // 17-point
        if isAdjacent(position, "-"), let name = word(position + 1), name.hasPrefix("p") { position += 1 }
        switch word(position) ?? token(position)?.text {
        case "%", "percent", "pct":
            let isPoints = word(position + 1) == "points" || word(position + 1) == "point"
            return isPoints ? ("points", position + 2) : ("percent", position + 1)
        case "percentage" where word(position + 1) == "points" || word(position + 1) == "point":
            return ("points", position + 2)
        case "per" where word(position + 1) == "cent": return ("percent", position + 2)
        case "point", "points", "pt", "pts": return ("points", position + 1)
        case "bps": return ("basis_points", position + 1)
        case "basis" where word(position + 1) == "points": return ("basis_points", position + 2)
        default: return nil
        }
    }

    // MARK: Days

    private func date() -> (Mention, Int)? {
        guard let end = endOfNumericDate() ?? endOfNamedDate() else { return nil }
        return (Mention(kind: .date, text: text(index..<end)), end)
    }

    /// `2016-11-08` and `11/8/2016`.
    private func endOfNumericDate() -> Int? {
        for separator in ["-", "/"] where isAdjacent(index + 1, separator) && isAdjacent(index + 3, separator) {
            let parts = [index, index + 2, index + 4].compactMap { position in
                token(position).flatMap { $0.kind == .number ? $0.text : nil }
            }
            guard parts.count == 3, token(index + 4)?.hasSpaceBefore == false else { continue }
            let written = parts.joined(separator: separator)
            if StatementDate.parse(written) != nil { return index + 5 }
        }
        return nil
    }

    /// `November 8`, `Nov. 8th, 2016`, `8 November 2016`.
    private func endOfNamedDate() -> Int? {
        if isMonth(index) {
            var position = index + 1
            if isAdjacent(position, ".") { position += 1 }
            guard var end = endOfDay(position) else { return nil }
            let comma = isAdjacent(end, ",") ? 1 : 0
            if isYear(end + comma) { end += comma + 1 }
            return end
        }
        guard let end = endOfDay(index), isMonth(end) else { return nil }
        return isYear(end + 1) ? end + 2 : end + 1
    }

    private func isMonth(_ position: Int) -> Bool {
        // Without the capital, may and march are verbs.
        word(position).map { Self.months.contains($0) } ?? false
            && token(position)?.text.unicodeScalars.first?.properties.isUppercase == true
    }

    private func endOfDay(_ position: Int) -> Int? {
        guard let day = token(position), day.kind == .number, let number = Int(day.text), (1...31).contains(number)
        else { return nil }
        let isOrdinal = ["st", "nd", "rd", "th"].contains(word(position + 1) ?? "")
        return isOrdinal && token(position + 1)?.hasSpaceBefore == false ? position + 2 : position + 1
    }

    private func isYear(_ position: Int) -> Bool {
        guard let year = token(position), year.kind == .number, let number = Int(year.text) else { return false }
        return year.text.utf8.count == 4 && (1000...2999).contains(number)
    }

    private func text(_ range: Range<Int>) -> String {
        range.map { (tokens[$0].hasSpaceBefore && $0 > range.lowerBound ? " " : "") + tokens[$0].text }.joined()
    }
}
