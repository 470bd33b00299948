extension Lexicon {
    /// The names of ``english``.
    static let nameTable: [String: Name] = {
        var result: [String: Name] = [:]
        for (kind, isAllCapitals, lines) in nameLists {
            for line in lines.split(separator: "\n") {
                // The usual name, then what else it goes by.
                let parts = line.split(separator: ":")
                guard let usual = parts.first.map(String.init) else { continue }
                let others = parts.count > 1 ? entries(String(parts[1])) : []
                let all = isAllCapitals ? others : [usual.lowercased()] + others
                for alias in all {
                    result[alias] = Name(kind: kind, text: usual, isAllCapitals: isAllCapitals)
                }
            }
        }
        return result
    }()

    private static let nameLists: [(Entity.Kind, Bool, String)] = [
        (
            .person, false,
            """
            Donald Trump: trump, donald j trump, president trump
            Hillary Clinton: hillary, clinton, crooked hillary, hillary rodham clinton
            Bill Clinton
            Barack Obama: obama, president obama
            Joe Biden: biden, president biden
            Bernie Sanders: bernie, sanders
            Ted Cruz: cruz, lyin ted
            Marco Rubio: rubio, little marco
            Jeb Bush: jeb, bush
            George W. Bush: george w bush
            John Kasich: kasich
            Ben Carson: carson, dr carson
            Carly Fiorina: fiorina
            Chris Christie: christie
            Rand Paul
            Scott Walker
            Bobby Jindal: jindal
            Mike Huckabee: huckabee
            Mitt Romney: romney
            Mike Pence: pence
            Paul Ryan
            Karl Rove
            Megyn Kelly
            Vladimir Putin: putin
            Xi Jinping
            Angela Merkel: merkel
            Janet Yellen: yellen
            Jerome Powell: powell
            Christine Lagarde: lagarde
            Mario Draghi: draghi
            Ben Bernanke: bernanke
            Elon Musk: musk
            Warren Buffett: buffett
            """
        ),
        (
            .organisation, false,
            """
            Federal Reserve: the fed
            European Central Bank: ecb
            Bank of England
            Bank of Japan
            European Union
            United Nations
            World Bank
            International Monetary Fund: imf
            World Trade Organization: wto
            NATO
            OPEC
            Congress
            Senate
            White House
            Supreme Court
            Republican Party: gop, republicans, republican
            Democratic Party: democrats, democrat
            Tea Party
            Fox News: foxnews
            CNN
            NBC
            ABC News
            CBS
            MSNBC
            CNBC
            Reuters
            Bloomberg
            Gallup
            Rasmussen
            Quinnipiac University: quinnipiac
            Monmouth University: monmouth
            Suffolk University
            Public Policy Polling
            New York Times: ny times, nytimes
            Washington Post: wapo
            Wall Street Journal
            USA Today
            Drudge Report: drudge
            Breitbart
            Goldman Sachs
            Citigroup: citi
            JPMorgan Chase: jpmorgan, jp morgan
            Wall Street
            Apple Inc
            Google
            Microsoft
            Boeing
            General Motors
            Tesla
            Exxon Mobil: exxon, exxonmobil
            Nasdaq
            """
        ),
        (
            .organisation, true,
            """
            United Nations: un
            European Union: eu
            ABC News: abc
            Public Policy Polling: ppp
            Wall Street Journal: wsj
            Ford Motor Company: ford
            """
        ),
        (.place, true, "United States: us"),
        (
            .place, false,
            """
            United States: usa, united states of america, america, u s, u s a
            United Kingdom: britain, great britain, england
            China
            Russia
            Japan
            Germany
            France
            Iran
            Iraq
            Israel
            Syria
            Ukraine
            Mexico
            Canada
            India
            North Korea
            South Korea
            Saudi Arabia
            Europe
            Washington
            New York
            Florida
            Iowa
            New Hampshire
            South Carolina
            North Carolina
            Nevada
            Ohio
            Pennsylvania
            Michigan
            Virginia
            Texas
            California
            Massachusetts
            Wisconsin
            Indiana
            Georgia
            Alabama
            Arizona
            Utah
            Trump Tower
            London
            Brussels
            Beijing
            Moscow
            """
        ),
    ]
}
