"""Fillings of the {slots} in the digit desk's training phrases, in English and in Chinese.

Pure data: a filling may have slots of its own. A word that is listed twice is drawn twice as often.
"""

from __future__ import annotations

__all__ = ["SLOTS", "alternatives"]


def alternatives(text: str) -> tuple[str, ...]:
    """Split "a|b|c" into its parts."""
    return tuple(part.strip() for part in text.strip().split("|"))


SLOTS = {
    "thing": alternatives(
        "cat|bird|horse|house|garden|street|bus|plane|bridge|river|coffee|tea|bread|soup|apple|bottle|window|door"
        "|lamp|chair|table|book|letter|phone|computer|keyboard|song|film|game|ball|coat|shoe|hat|doctor|teacher"
        "|sister|friend|baby|neighbour|shop|bank|hotel|school|office|meeting|holiday|weather|wind|snow|sun|moon|key"
        "|bag|watch|wall|roof|tree|flower|bicycle|engine"
    ),
    "state": alternatives(
        "cold|warm|late|early|broken|open|closed|red|green|blue|new|old|tired|happy|sad|hungry|loud|quiet|wet|dry"
        "|empty|full|slow|fast|nice|strange|funny|free|busy|ready|clean|dirty|expensive|asleep|here|gone|heavy"
        "|beautiful|running|sleeping|waiting"
    ),
    "act": alternatives(
        "open|close|buy|sell|clean|bring|carry|paint|wash|cook|eat|drink|move|lock|start|stop|turn off|turn on|break"
        "|fix|call|visit|watch|play|send|order|cancel|print|save|delete|switch off|pick up|throw away|wake up|feed"
        "|charge|love|forget|lose"
    ),
    "when": alternatives(
        "today|tomorrow|now|tonight|this morning|yesterday|next week|again|every day|at noon|on monday|in the evening"
        "|soon"
    ),
    "物": alternatives(
        "猫|狗|鸟|花|树|房子|车|自行车|飞机|火车|咖啡|茶|面包|苹果|窗户|门|灯|椅子|桌子|书|信|手机|电脑|歌|电影|球|衣服|鞋子|帽子|医生|老师|朋友|孩子|天气|雨|雪|太阳|月亮|钥匙|包"
    ),
    "态": alternatives(
        "冷|热|晚|早|新|旧|累|高兴|难过|饿|吵|安静|湿|干净|脏|贵|便宜|漂亮|奇怪|好笑|忙|慢|快|远|近|好吃|好看|重|轻"
    ),
    "做": alternatives(
        "吃饭|喝水|睡觉|跑步|散步|看电影|听歌|买东西|回家|上班|上学|打球|旅行|做饭|洗衣服|开车|休息|唱歌|跳舞|游泳|打电话|看书|下雨|出门"
    ),
    "时": alternatives("今天|明天|昨天|后天|早上|晚上|中午|下午|周末|现在|等会儿|以后"),
    "digit": alternatives("digit|number|figure|numeral|one"),
    "picture": alternatives(
        "picture|image|photo|frame|camera|paper|page|drawing|sheet|screen|video|note|desk|camera picture|camera view"
        "|card|board|whiteboard|slip|snapshot|shot|scene|view|frame|camera image|webcam|notebook|poster|pad|page"
    ),
    "in": alternatives("in|on|from|shown in|written on|on|inside|printed on|across|drawn on"),
    "see": alternatives("see|see|can see|are seeing|are looking at|have in view|have in front of you|saw"),
    "hear": alternatives("hear|hear|can hear|are hearing|heard|heard|have heard|are listening to|picked up"),
    "wrote": alternatives(
        "wrote|wrote|have written|drew|have drawn|show you|am showing|am showing you|hold up|put down|am holding up"
        "|sketched|scribbled|jotted down|showed you|held up|am pointing at|am displaying|presented"
    ),
    "said": alternatives(
        "said|said|say|just said|have said|am saying|spoke|told you|mentioned|read out|read aloud|pronounced|uttered"
        "|called out|whispered|shouted|dictated|voiced|announced|am speaking|am pronouncing|recited|gave aloud"
    ),
    "seen": alternatives(
        "the {digit} {in} the {picture}|what you {see}|what i {wrote}|the {digit} you {see}"
        "|the {digit} that you {see}|the written {digit}|the drawn {digit}|the handwritten {digit}"
        "|the {digit} i {wrote}|the {digit} that i {wrote}|the {picture}|the visible {digit}|what the camera sees"
        "|what is {in} the {picture}|the seen {digit}|the shown {digit}|the {digit} in front of the {eye}"
        "|the {digit} that is {in} the {picture}|the {digit} in my handwriting|the {written} {digit}"
        "|the {written} one|the {digit} {who} {inked}|what {who} {inked}|the {digit} facing the {eye}"
        "|the {digit} before your eyes|the {digit} for the eyes|the {digit} in view|my {digit} on the {picture}"
    ),
    "heard": alternatives(
        "what you {hear}|what i {said}|the {digit} you {hear}|the {digit} that you {hear}|the spoken {digit}|my voice"
        "|the {digit} i {said}|the {digit} that i {said}|the voice|the sound|the audio|the {digit} in the audio"
        "|the heard {digit}|the {digit} from the microphone|what was said|the {digit} that was said"
        "|the {digit} in my voice|the said {digit}|the {digit} in the recording"
        "|the {digit} coming from the microphone|the {spoken} {digit}|the {spoken} one|the {digit} {who} {uttered}"
        "|what {who} {uttered}|the {digit} in the {sound}|the {digit} for the ears|the {digit} in {whose} voice"
        "|the {digit} from {whose} mouth|{whose} voice|{whose} word"
    ),
    "pair": alternatives(
        "them|both|these|the two|these two|the two {digits}|both {digits}|the {digits}|these {digits}"
        "|these two {digits}|{seen} and {heard}|{heard} and {seen}|my two {digits}|the two of them|the pair"
        "|the two {digits} you have"
    ),
    "digits": alternatives("numbers|digits|values|figures"),
    "tell": alternatives(
        "tell me|say|give me|show me|show|find|get|compute|calculate|work out|i want|i need|name|return|let me know"
    ),
    "which": alternatives(
        "which is|which one is|which number is|which digit is|which of the two is|what is|which of them is"
        "|which {digit} is|which one of {pair} is|who is|which value is"
    ),
    "图": alternatives(
        "图里的|图中的|图片里的|画面里的|画面中的|纸上的|照片里的|镜头里的|摄像头里的|写的|写下的|看到的|你看到的|我写的|图上|看见的"
    ),
    "声": alternatives(
        "听到的|听见的|你听到的|我说的|说的|念的|读出来的|声音里的|语音里的|录音里的|麦克风里的|我刚说的|刚才说的|我念的"
    ),
    "数": alternatives("数字|数|那个数|那个数字|数目"),
    "两数": alternatives(
        "两个数|两个数字|这两个数|这两个数字|它们|他们|两者|这两个|两数|二者|俩数|{图}{数}和{声}{数}|{声}{数}和{图}{数}|{图}和{声}|{图}{数}与{声}{数}"
    ),
    "多少": alternatives("是多少|等于多少|是几|等于几|得多少|得几|是什么|多少|有多少"),
    "求": alternatives("求|算|计算|算出|求出|告诉我|给我|算一下|求一下|说出|我要|我想知道"),
    "who": alternatives(
        "i|i|i|we|you|he|she|they|someone|somebody|the person|the man|the woman|the speaker|the user|this guy|people"
    ),
    "whose": alternatives("my|my|his|her|their|our|the speaker's|this person's|someone's|the user's|that"),
    "eye": alternatives("camera|camera|lens|webcam|eyes|cam"),
    "ear": alternatives("microphone|microphone|mic|headset|recorder|ears"),
    "sound": alternatives(
        "audio|recording|microphone|mic|voice|speech|sound|sound clip|audio clip|voice message|voice recording"
        "|headset|soundtrack|utterance|speaker|audio feed|sentence|words|voice note|talk"
    ),
    "write": alternatives(
        "write|draw|sketch|scribble|jot down|put down|show|show you|hold up|display|present|put on the {picture}"
        "|print|hold in front of the {eye}|put in front of you|point the {eye} at|let you see"
    ),
    "inked": alternatives(
        "wrote|drew|sketched|scribbled|jotted down|put on the {picture}|printed|showed|showed you|held up|displayed"
        "|painted|put in front of the {eye}|let you see"
    ),
    "inking": alternatives(
        "writing|drawing|showing|showing you|holding|holding up|displaying|presenting|sketching|pointing at"
    ),
    "written": alternatives(
        "written|drawn|sketched|scribbled|printed|shown|displayed|handwritten|photographed|seen|visible|held up"
        "|depicted|inked"
    ),
    "utter": alternatives(
        "say|say|speak|tell you|mention|pronounce|read out|call out|utter|whisper|shout|dictate|voice|announce"
        "|say aloud|say out loud|talk about|say to the {ear}|let you hear"
    ),
    "uttered": alternatives(
        "said|said|spoke|told you|mentioned|pronounced|read out|called out|uttered|whispered|shouted|dictated|voiced"
        "|announced|said aloud|said out loud|talked about|let you hear"
    ),
    "uttering": alternatives(
        "saying|speaking|telling you|pronouncing|reading out|shouting|whispering|dictating|talking about"
    ),
    "spoken": alternatives(
        "said|spoken|mentioned|pronounced|uttered|called out|whispered|shouted|dictated|voiced|announced|heard"
        "|recorded|read aloud|said aloud|audible|vocal|verbal"
    ),
    "spot": alternatives(
        "see|spot|notice|observe|view|read|look at|watch|see there|see with your eyes|see through the {eye}"
    ),
    "catch": alternatives(
        "hear|catch|pick up|listen to|hear there|hear with your ears|hear through the {ear}|overhear|receive by ear"
    ),
    "peek": alternatives(
        "look|look here|look closely|watch|have a look|take a look|look at me|use your eyes|use the {eye}"
        "|open your eyes|look at the {picture}|look at it|check the {picture}|check the {eye}|go by the {picture}"
        "|by sight|from the {picture}"
    ),
    "hark": alternatives(
        "listen|listen here|listen closely|listen up|have a listen|listen to me|use your ears|use the {ear}"
        "|open your ears|listen to the {sound}|listen to it|check the {sound}|check the {ear}|go by the {sound}"
        "|by ear|from the {sound}"
    ),
    "shun": alternatives(
        "ignore|ignore|forget|forget about|never mind|skip|disregard|leave out|not|without|i do not care about"
        "|leave aside"
    ),
    "looks": alternatives(
        "the {picture}|the {picture}|the image|the writing|the handwriting|the {eye}|the visuals|{seen}"
    ),
    "sounds": alternatives("the {sound}|the {sound}|the audio|the voice|the speech|the {ear}|the noise|{heard}"),
    "what": alternatives("what|what|which|which {digit}|what {digit}|which {digit}"),
    "im": alternatives(
        "seen|image|picture|camera|the image|the picture|the camera|written|shown|eye|paper|the drawing|photo"
    ),
    "au": alternatives(
        "heard|audio|voice|microphone|the audio|the voice|the microphone|spoken|said|ear|sound|the speech|mic"
    ),
    "ops": alternatives(
        "them|both|these two|the {digits}|the two|both {digits}|one and the other|these|the pair|each other"
    ),
    "bigger": alternatives("larger|bigger|greater|higher|larger|bigger|greater|upper|superior|big|high"),
    "biggest": alternatives("largest|biggest|greatest|highest|maximum|top|topmost|most|maximal|max"),
    "lesser": alternatives("smaller|lesser|lower|littler|smaller|lower|tinier|inferior|little|small|low"),
    "least": alternatives("smallest|lowest|least|minimum|bottom|tiniest|littlest|minimal|min|lowermost"),
    "pick": alternatives(
        "pick|choose|take|select|keep|return|give me|find|show me|name|tell me|get|output|i want|i would like|report"
    ),
    "谁": alternatives("我|我|我|他|她|你|有人|那人|对方|别人|老师|他们|这个人"),
    "刚": alternatives("刚|刚才|刚刚||||现在|正在|这次"),
    "几": alternatives("几|几|什么|什么数字|啥|哪个数|哪个数字|多少|哪个|什么数|数字几"),
    "画": alternatives(
        "图|图片|画面|照片|镜头|摄像头|相机|纸|卡片|本子|白板|屏幕|手写|视频|影像|纸条|图像|镜头前|眼前|手里|手上"
    ),
    "音": alternatives("录音|语音|声音|话筒|麦克风|音频|耳机|口中|嘴里|话|耳边|人声|讲话|说话|麦"),
    "写": alternatives("写|画|举|拿|展示|写下|画出|举着|拿着|写出|亮出|摆出|给你看|出示"),
    "念": alternatives("说|念|读|讲|报|喊|说出|念出|读出|讲出|报出|喊出|朗读|口述|说到|提到"),
    "看": alternatives("看到|看见|看出|看清|认出|拍到|看|看得到|见到|瞧见"),
    "听": alternatives("听到|听见|听出|听清|收到|录到|听|听得到|听着|听得"),
    "那数": alternatives("那个数|数字|数|那个数字|那个|那一个|数目|号码"),
    "last": alternatives(
        "last digit|final digit|units digit|unit digit|ones digit|rightmost digit|last figure|end digit|trailing digit"
    ),
    "尾": alternatives("个位|个位数|末位|末位数|尾数|最后一位|最后一位数|末尾|末尾数字"),
    "saw": alternatives("see|saw|see|watch|watched|hear|heard|noticed|met|look for"),
    "only": alternatives("just|only|simply|nothing but|just give me|only tell me|i only want"),
    "只": alternatives("只|就|只要|单单|仅|光"),
    "subj": alternatives(
        "i|we|she|he|they|my {kin}|my {kin}|your {kin}|the {kin}|the {thing}|everyone|nobody|somebody|people|you"
    ),
    "kin": alternatives(
        "brother|sister|mother|father|friend|boss|cousin|aunt|uncle|wife|husband|son|daughter|colleague|dog|cat|kids"
    ),
    "did": alternatives(
        "went to|came to|slept near|lost|found|bought|sold|forgot|liked|loved|broke|fixed|cleaned|cooked|wanted|left"
        "|took|made|had|brought|painted|visited|met|called|missed|hated|ordered|finished|started|asked for|paid for"
        "|ran to|hid|opened|needs|has"
    ),
    "done": alternatives(
        "bought|lost|cleaned|fixed|met|found|washed|forgotten|called|taken|tried|opened|visited|paid for|ordered"
    ),
    "place": alternatives(
        "at home|at school|at work|in the {thing}|at the station|in the kitchen|in town|on the beach|by the {thing}"
        "|over there|near the {thing}|upstairs|outside|abroad|on the way|at the {event}"
    ),
    "much": alternatives("very|so|quite|too|really|rather|a bit|not|almost"),
    "event": alternatives(
        "party|concert|meeting|wedding|dinner|lunch|breakfast|exam|trip|holiday|match|lesson|class|journey|weekend"
        "|show|appointment"
    ),
    "some": alternatives("some|many|few|two|three|five|ten|a dozen|no more|enough|lots of"),
    "人": alternatives("我|我们|他|她|他们|妈妈|爸爸|弟弟|姐姐|老师|同事|孩子|大家|邻居|你|同学"),
    "动": alternatives("买了|丢了|修好了|喜欢|忘了|打碎了|卖了|拿走了|想要|讨厌|找到了|洗了|吃了|借了|弄坏了|需要"),
    "地": alternatives("在家|在学校|在公司|在路上|在车站|在公园|在外面|在楼下|在海边"),
    "kit": alternatives(
        "camera|microphone|screen|paper|picture|photo|recording|radio|speaker|voice|pen|desk|number|video|image|sound"
    ),
    "具": alternatives("相机|话筒|麦克风|屏幕|照片|录音机|耳机|摄像头|笔|纸|收音机|音响|本子"),
}
