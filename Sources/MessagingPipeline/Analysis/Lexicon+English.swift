extension Lexicon {
    /// A small lexicon for English statements on the economy and politics.
    ///
    /// It was put together by hand for this package; the scale of the sentiment, -4 to 4, is that of VADER (Hutto and
    /// Gilbert, 2014, https://doi.org/10.1609/icwsm.v8i1.14550), its words and weights are not.
    public static let english = Lexicon(
        topics: topicWords.mapValues { Set(entries($0)) },
        sentiment: weights([
            (4, "best, excellent, outstanding, historic victory"),
            (3, "great, amazing, tremendous, incredible, fantastic, wonderful, beautiful, landslide, win big, triumph"),
            (2, "good, win, wins, won, winning, love, happy, success, successful, strong, stronger, honor, honored"),
            (2, "victory, brilliant, nice, enjoy, smart, boom, booming, thriving, rally, soar, soars, surges, surge"),
            (1, "lead, leads, leading, thank, thanks, gain, gains, growth, rise, rises, up, better, ahead, support"),
            (1, "agree, agreement, deal, recover, recovery, improve, improved, highly respected, interesting, wow"),
            (
                -1,
                "down, fall, falls, fell, drop, drops, dropping, decline, lower, behind, doubt, unfair, risk, concern"
            ),
            (-1, "overrated, biased, slow, weaker, warn, warns, warning, uncertain, uncertainty, cut, cuts, wrong"),
            (-2, "bad, sad, lose, loses, losing, lost, loss, losses, fail, fails, failed, failing, weak, lie, lies"),
            (-2, "dishonest, phony, crooked, lightweight, fraud, ban, sanction, sanctions, threat, threaten, plunge"),
            (-2, "crash, attack, attacks, fired, layoffs, recession, default, bankrupt, dopey, loser, losers, dirty"),
            (-3, "terrible, horrible, disgrace, disgusting, corrupt, crisis, war, hate, failure, worse, pathetic"),
            (-4, "worst, disaster, catastrophe, collapse, terror, terrorism, depression"),
        ]),
        negations: Set(
            entries(
                """
                not, no, never, none, nobody, nothing, neither, nor, without, hardly, barely, cannot, can't, don't, doesn't, \
                didn't, won't, wouldn't, isn't, aren't, wasn't, weren't, haven't, hasn't, hadn't, shouldn't, couldn't
                """
            )
        ),
        intensifiers: weights([
            (
                1.5,
                "very, really, so, extremely, incredibly, totally, absolutely, huge, big, highly, massive, most, too"
            ),
            (0.5, "somewhat, slightly, rather, little, fairly, kind of, sort of, a bit, almost, barely"),
        ]),
        marketTerms: weights([
            (0.6, "interest rate, interest rates, rate hike, rate cut, federal reserve, tariff, tariffs, trade war"),
            (0.6, "stock market, earnings, central bank, monetary policy, default, opec, quantitative easing, bailout"),
            (0.5, "inflation, recession, gdp, stocks, bonds, treasury, yield, yields, sanctions, merger, acquisition"),
            (
                0.5,
                "bankruptcy, ipo, dividend, dow jones, nasdaq, unemployment rate, devaluation, debt ceiling, the fed"
            ),
            (
                0.4,
                "dollar, euro, currency, oil, oil prices, trade deal, embargo, deficit, debt, exports, imports, crypto"
            ),
            (
                0.3,
                "economy, economic, jobs, unemployment, taxes, tax cut, tax cuts, trade, bank, banks, investors, wall street"
            ),
            (
                0.3,
                "market, markets, budget, war, regulation, antitrust, shares, price, prices, profit, revenue, bitcoin"
            ),
            (
                0.15,
                "election, poll, polls, industry, business, company, companies, growth, energy, nafta, china, brexit"
            ),
        ]),
        names: nameTable
    )

    private static let topicWords = [
        "economy":
            """
        economy, economic, gdp, recession, inflation, growth, deficit, debt, budget, unemployment, consumer, depression
        """,
        "elections":
            """
        poll, polls, polling, polled, pollster, pollsters, election, elections, vote, votes, voters, voter, ballot, \
        primary, primaries, caucus, candidate, candidates, nominee, nomination, campaign, debate, debates, delegates, \
        frontrunner, gop, electoral, turnout, super tuesday
        """,
        "energy": "oil, gas, opec, coal, pipeline, solar, nuclear, energy, drilling, fracking, crude, electricity",
        "foreign policy":
            """
        nato, sanctions, treaty, diplomat, diplomacy, ambassador, united nations, foreign policy, iran deal, summit, \
        embassy, ceasefire
        """,
        "health":
            "health, healthcare, obamacare, hospital, hospitals, vaccine, vaccines, medicare, medicaid, pandemic, drug prices",
        "immigration":
            """
        immigration, immigrant, immigrants, border, borders, wall, refugee, refugees, deport, deportation, visa, visas, \
        amnesty, sanctuary
        """,
        "jobs":
            "jobs, job, unemployment, wages, wage, workers, hiring, layoffs, employment, payrolls, strike, union, unions",
        "justice":
            "court, supreme court, judge, judges, fbi, investigation, lawsuit, indictment, crime, police, attorney general",
        "markets":
            """
        stock, stocks, stock market, market, markets, shares, bond, bonds, yield, yields, dow, dow jones, nasdaq, \
        investors, wall street, earnings, dividend, ipo, bitcoin, crypto, merger, acquisition
        """,
        "media":
            """
        media, news, press, reporter, reporters, journalist, journalists, newspaper, interview, interviewed, tv, \
        television, fake news, ratings
        """,
        "monetary policy":
            """
        federal reserve, the fed, interest rate, interest rates, rate hike, rate cut, central bank, monetary policy, \
        quantitative easing, ecb, inflation target
        """,
        "security":
            "military, army, navy, war, terror, terrorism, isis, troops, defense, defence, missile, missiles, veterans, attack",
        "taxes": "tax, taxes, tax cut, tax cuts, tax plan, tax reform, irs",
        "trade":
            """
        trade, tariff, tariffs, nafta, tpp, wto, exports, imports, export, import, trade deal, trade war, embargo, customs
        """,
    ]

    /// The parts of a list.
    static func entries(_ list: String) -> [String] {
        list.split(separator: ",").map { $0.split(separator: " ").joined(separator: " ") }
    }

    private static func weights(_ lists: [(Double, String)]) -> [String: Double] {
        var result: [String: Double] = [:]
        for (weight, list) in lists {
            for entry in entries(list) where result[entry] == nil { result[entry] = weight }
        }
        return result
    }
}
