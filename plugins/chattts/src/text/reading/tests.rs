//! Texts and how they are read.

use super::super::{Language, detect};
use super::{READING, read};

fn check(table: &[(&str, &str)]) {
    let wrong: Vec<String> = table
        .iter()
        .map(|(text, wanted)| (text, wanted, read(text, detect(text))))
        .filter(|(_, wanted, got)| got != *wanted)
        .map(|(text, wanted, got)| format!("{text}\n  is     {got}\n  wanted {wanted}"))
        .collect();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn patterns_are_valid() {
    assert!(READING.is_ok());
}

#[test]
fn numbers_in_english() {
    check(&[
        ("I have 3 cats and 21 dogs.", "I have three cats and twenty one dogs."),
        ("1,234,567 people", "one million two hundred and thirty four thousand five hundred and sixty seven people"),
        ("It weighs 3.14 or .5 of it.", "It weighs three point one four or point five of it."),
        ("It is -5 outside, +3 inside.", "It is minus five outside, plus three inside."),
        ("Agent 007 and 0 others", "Agent zero zero seven and zero others"),
        ("the 1st, 2nd, 3rd, 21st and 112th", "the first, second, third, twenty first and one hundred and twelfth"),
        ("No. 5 and #7", "number five and number seven"),
        ("1/2 or 3/4 or 2/3 or 5/8 of it", "one half or three quarters or two thirds or five eighths of it"),
        ("2 1/2 cups, 1½ cups", "two and a half cups, one and a half cups"),
        ("open 24/7", "open twenty four seven"),
        ("pages 3-5 and 10–12", "pages three to five and ten to twelve"),
        ("they won 3-2", "they won three to two"),
        (
            "a 16:9 screen with 1920x1080 pixels",
            "a sixteen to nine screen with one thousand nine hundred and twenty by one thousand and eighty pixels",
        ),
        ("version 1.2.10 of v2.0", "version one point two point ten of v two point zero"),
        ("at 192.168.0.1", "at one nine two point one six eight point zero point one"),
        (
            "3+5=8, 9-4=5, 6×7=42",
            "three plus five equals eight, nine minus four equals five, six times seven equals forty two",
        ),
        ("x² + 5³", "x squared plus five cubed"),
        ("the mp3 of COVID-19 on an iPhone15", "the mp three of COVID nineteen on an iPhone fifteen"),
        ("9876543210123456", "nine eight seven six five four three two one zero one two three four five six"),
        (
            "It's 50/50 on flight BA249, 3.0×10^8, 5k",
            "Its fifty fifty on flight BA two four nine, three point zero times ten to the power of eight, five thousand",
        ),
        ("in 1066 there were 1066 men", "in ten sixty six there were one thousand and sixty six men"),
    ]);
}

#[test]
fn numbers_in_chinese() {
    check(&[
        ("我有3个苹果和12本书。", "我有三个苹果和十二本书。"),
        ("2个人在2楼等了2小时", "两个人在二楼等了两小时"),
        ("第2个人", "第二个人"),
        ("一共12345人", "一共一万二千三百四十五人"),
        ("圆周率是3.14", "圆周率是三点一四"),
        ("气温-5度", "气温负五度"),
        ("编号007", "编号零零七"),
        ("完成了1/2，还有3/4", "完成了二分之一，还有四分之三"),
        ("需要3-5个", "需要三到五个"),
        ("以3-2获胜，比分3:2", "以三比二获胜，比分三比二"),
        ("3+5=8，9-4=5", "三加五等于八，九减四等于五"),
        ("比分21:19，以25:23获胜", "比分二十一比十九，以二十五比二十三获胜"),
        ("有1,000+用户，按3.5:1混合", "有一千多用户，按三点五比一混合"),
        ("版本1.2.3发布", "版本一点二点三发布"),
        ("增加了3.5万，约2亿元", "增加了三点五万，约两亿元"),
        ("１２个，二〇二四年", "十二个，二零二四年"),
        ("我用iPhone 15看4K电影", "我用iPhone 十五看四K电影"),
        ("屏幕是1920x1080", "屏幕是一千九百二十乘一千零八十"),
        (
            "2023-2024赛季，2024奥运会，2000人，1999个",
            "二零二三到二零二四赛季，二零二四奥运会，二千人，一千九百九十九个",
        ),
        ("比例1:2:3，x≥5，5G网络，ABC123", "比例一比二比三，x大于等于五，五G网络，ABC一二三"),
        ("工资5k，粉丝10w，速度3.0×10^8", "工资五千，粉丝十万，速度三点零乘以十的八次方"),
        ("9.9元/份，205室", "九点九元每份，二零五室"),
        ("面积是边长²", "面积是边长的平方"),
    ]);
}

#[test]
fn dates() {
    check(&[
        ("on 2024-05-01 it began", "on May first, twenty twenty four it began"),
        ("on 5/1/2024 or 25/12/2023", "on May first, twenty twenty four or December twenty fifth, twenty twenty three"),
        ("Jan. 5, 2024 and March 3rd", "January fifth, twenty twenty four and March third"),
        ("the 5th of May 1905", "the fifth of May, nineteen oh five"),
        ("in May 2005", "in May two thousand and five"),
        ("in 1999, in 2024", "in nineteen ninety nine, in twenty twenty four"),
        ("the 1990s and the '80s", "the nineteen nineties and the eighties"),
        ("from 1990-2000", "from nineteen ninety to two thousand"),
        ("I may 5 times", "I may five times"),
        ("2024年5月1日", "二零二四年五月一日"),
        ("于2024-05-01开始，2024/12/31结束", "于二零二四年五月一日开始，二零二四年十二月三十一日结束"),
        ("2020-2024年", "二零二零到二零二四年"),
        ("24年5月，5000年历史，2000年前", "二四年五月，五千年历史，二千年前"),
        ("since 2024-05, 2024-12-01", "since May twenty twenty four, December first, twenty twenty four"),
        ("2024-05开始", "二零二四年五月开始"),
        ("90年代的1998年", "九十年代的一九九八年"),
        ("2月2日2个月", "二月二日两个月"),
        ("号码2024-13-45", "号码二零二四，幺三，四五"),
    ]);
}

#[test]
fn times() {
    check(&[
        ("at 12:30, 3:00, 9:05 and 7:45 pm", "at twelve thirty, three o clock, nine oh five and seven forty five p m"),
        ("at 3 p.m. today, at 5pm.", "at three p m today, at five p m."),
        ("We left at 3 p.m. Then it rained.", "We left at three p m. Then it rained."),
        ("from 9:00-17:30, 9am-5pm", "from nine o clock to seventeen thirty, nine a m to five p m"),
        ("in 1:02:03", "in one oh two and three seconds"),
        ("下午3:05开始，12:30结束", "下午三点零五分开始，十二点三十分结束"),
        ("营业时间9:00-21:30", "营业时间九点到二十一点三十分"),
        ("2：00见，8点30分", "两点见，八点三十分"),
        ("时间：14:30-16:00，10:00:00开抢", "时间，十四点三十分到十六点，十点开抢"),
        ("用时1:02:03", "用时一小时零二分零三秒"),
    ]);
}

#[test]
fn money() {
    check(&[
        ("It costs $5.20, $1 or $0.99.", "It costs five dollars and twenty cents, one dollar or ninety nine cents."),
        (
            "$1,500 or $5 million or $2.5B",
            "one thousand five hundred dollars or five million dollars or two point five billion dollars",
        ),
        (
            "$5-10, £3.50, €20, ¥100",
            "five to ten dollars, three pounds and fifty pence, twenty euros, one hundred yuan",
        ),
        ("5 USD and 20 EUR", "five US dollars and twenty euros"),
        ("价格是￥9.90，约$1.5", "价格是九点九元，约一点五美元"),
        ("花了2元5角，¥2", "花了两元五角，两元"),
        ("投资$5万，$100万", "投资五万美元，一百万美元"),
        ("一共$100.50美元", "一共一百点五美元"),
        ("$3.5k/month for $TSLA", "three point five thousand dollars per month for TSLA"),
        ("房价5w/㎡", "房价五万每平方米"),
        ("HK$300和€20", "三百港元和二十欧元"),
    ]);
}

#[test]
fn quantities() {
    check(&[
        (
            "50% or 3.5% or 5-10% or -2%",
            "fifty percent or three point five percent or five to ten percent or minus two percent",
        ),
        (
            "5 km, 1 km, 3kg, 1.5 L, 100 m²",
            "five kilometers, one kilometer, three kilograms, one point five liters, one hundred square meters",
        ),
        (
            "120 km/h at 25°C or 77°F, turn 90°",
            "one hundred and twenty kilometers per hour at twenty five degrees Celsius or seventy seven degrees Fahrenheit, turn ninety degrees",
        ),
        ("5-10 km, 16GB", "five to ten kilometers, sixteen gigabytes"),
        ("10 A students, 5K run, a 5G phone", "ten A students, five K run, a five G phone"),
        ("上涨了50%，5%-10%，-2%", "上涨了百分之五十，百分之五到百分之十，负百分之二"),
        ("跑了5km，重2kg，温度25℃", "跑了五公里，重两公斤，温度二十五摄氏度"),
        ("3-5公斤，3~5kg，100㎡", "三到五公斤，三到五公斤，一百平方米"),
        ("时速120km/h，内存16GB", "时速一百二十公里每小时，内存十六吉字节"),
        ("用时2h30min", "用时两小时三十分钟"),
        ("takes 10s or 1h05m", "takes ten seconds or one hour five minutes"),
        (
            "5'6\" tall, +3%, 1.2M units, 100 m²",
            "five feet six inches tall, plus three percent, one point two million units, one hundred square meters",
        ),
        ("同比+15.3%", "同比正百分之十五点三"),
        ("3kg+5kg", "three kilograms plus five kilograms"),
        ("浓度5‰", "浓度千分之五"),
    ]);
}

#[test]
fn telephones_and_codes() {
    check(&[
        ("电话13800138000", "电话幺三八，零零幺三，八零零零"),
        ("拨打+86 138-0013-8000", "拨打八六，幺三八，零零幺三，八零零零"),
        ("010-12345678，400-123-4567", "零幺零，幺二三四，五六七八，四零零，幺二三，四五六七"),
        ("验证码是1234", "验证码是一二三四"),
        (
            "Call (555) 123-4567 or 555-123-4567.",
            "Call five five five, one two three, four five six seven or five five five, one two three, four five six seven.",
        ),
        ("Call +44 20 7946 0958", "Call plus four four, two zero, seven nine four six, zero nine five eight"),
        ("The code is 1234", "The code is one two three four"),
    ]);
}

#[test]
fn addresses() {
    check(&[
        ("See https://www.example.com/a_b/?q=1.", "See www dot example dot com slash a underscore b."),
        ("Mail me@example.org, or example2.com!", "Mail me at example dot org, or example two dot com."),
        ("访问www.example.com。", "访问www点example点com。"),
        ("发邮件到abc1@qq.com", "发邮件到abc一艾特qq点com"),
    ]);
}

#[test]
fn abbreviations() {
    check(&[
        ("Mr. Smith and Dr. Jones vs. Prof. Lee", "Mister Smith and Doctor Jones versus Professor Lee"),
        ("cats, dogs, etc. Then more", "cats, dogs, et cetera. Then more"),
        ("e.g. the U.S. Army, i.e. them", "for example the U S Army, that is them"),
        ("St. Paul lives in Main St.", "Saint Paul lives in Main Street."),
        (
            "I'm sure we'll say you're right; don't, can't, won't",
            "I am sure we will say you are right, do not, cannot, will not",
        ),
        ("it's John's", "its Johns"),
        ("at 12 Main St., C# and F#, tel. me", "at twelve Main Street, C sharp and F sharp, telephone me"),
        ("They live on Elm St. They are friends.", "They live on Elm Street. They are friends."),
        ("and/or w/o it", "and or without it"),
        ("AT&T @ 5 o'clock", "AT and T at five o clock"),
    ]);
}

#[test]
fn mixed_text_follows_its_surroundings() {
    check(&[
        ("他说I have 3 cats，我有3只", "他说I have three cats，我有三只"),
        ("我们在2024年发布了version 2 of it", "我们在二零二四年发布了version two of it"),
        ("今天买了5 apples", "今天买了五 apples"),
        ("I paid 5元 for 3 apples", "I paid five元 for three apples"),
        ("你好？How are you? 好！", "你好。How are you. 好。"),
    ]);
}

#[test]
fn tags_stay() {
    check(&[
        ("第3个[uv_break]真的2次[laugh_0]，好[speed_5]吗？", "第三个[uv_break]真的两次[laugh_0]，好[speed_5]吗。"),
        ("see [1] and [12, 13] or a[2", "see, one, and, twelve, thirteen, or a, two"),
        ("[oral_2][laugh_0][break_6]", "[oral_2][laugh_0][break_6]"),
    ]);
}

#[test]
fn nothing_fails_or_hangs() {
    let pieces = [
        "1", "-", ":", ".", ",", "/", "$", "%", "12:", "1-", "1/", "1.", "km ", "[", "]", "[a", "年", "2年", "a.",
        "n't", "@a", "www.", "\n", "é", "😀", "５", "²", "=", "+1", "(555) ", "Jan. ", "’s", "‰",
    ];
    for piece in pieces {
        for other in pieces {
            for language in [Language::Chinese, Language::English] {
                let text = format!("{piece}{other}").repeat(20);
                let _ = read(&text, language);
            }
        }
        // With quadratic work somewhere this would take minutes.
        let _ = read(&piece.repeat(20_000), Language::Chinese);
    }
}
