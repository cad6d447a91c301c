"""How people word the instructions of the digit desk, in English and in Chinese.

Pure data: templates with {slots}, texts that ask for nothing, and the paraphrases that are kept for testing. Every key of
`TEMPLATES` and `HELD_OUT` is the name of an instruction; knows nothing of how phrases are drawn or varied.
"""

from __future__ import annotations

__all__ = ["HELD_OUT", "HELD_OUT_NOTHING", "NOTHING_PHRASES", "SLOTS", "TEMPLATES"]


def _list(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.strip().split("|"))


SLOTS = {
    "thing": _list(
        "cat|bird|horse|house|garden|street|bus|plane|bridge|river|coffee|tea|bread|soup|apple|bottle|window|door|lamp|chair|table"
        "|book|letter|phone|computer|keyboard|song|film|game|ball|coat|shoe|hat|doctor|teacher|sister|friend|baby|neighbour|shop"
        "|bank|hotel|school|office|meeting|holiday|weather|wind|snow|sun|moon|key|bag|watch|wall|roof|tree|flower|bicycle|engine"
    ),
    "state": _list(
        "cold|warm|late|early|broken|open|closed|red|green|blue|new|old|tired|happy|sad|hungry|loud|quiet|wet|dry|empty|full|slow"
        "|fast|nice|strange|funny|free|busy|ready|clean|dirty|expensive|asleep|here|gone|heavy|beautiful|running|sleeping|waiting"
    ),
    "act": _list(
        "open|close|buy|sell|clean|bring|carry|paint|wash|cook|eat|drink|move|lock|start|stop|turn off|turn on|break|fix|call|visit"
        "|watch|play|send|order|cancel|print|save|delete|switch off|pick up|throw away|wake up|feed|charge|love|forget|lose"
    ),
    "when": _list(
        "today|tomorrow|now|tonight|this morning|yesterday|next week|again|every day|at noon|on monday|in the evening|soon"
    ),
    "物": _list(
        "猫|狗|鸟|花|树|房子|车|自行车|飞机|火车|咖啡|茶|面包|苹果|窗户|门|灯|椅子|桌子|书|信|手机|电脑|歌|电影|球|衣服|鞋子|帽子|医生|老师|朋友|孩子|天气|雨|雪|太阳|月亮|钥匙|包"
    ),
    "态": _list(
        "冷|热|晚|早|新|旧|累|高兴|难过|饿|吵|安静|湿|干净|脏|贵|便宜|漂亮|奇怪|好笑|忙|慢|快|远|近|好吃|好看|重|轻"
    ),
    "做": _list(
        "吃饭|喝水|睡觉|跑步|散步|看电影|听歌|买东西|回家|上班|上学|打球|旅行|做饭|洗衣服|开车|休息|唱歌|跳舞|游泳|打电话|看书|下雨|出门"
    ),
    "时": _list("今天|明天|昨天|后天|早上|晚上|中午|下午|周末|现在|等会儿|以后"),
    "digit": _list("digit|number|figure|numeral|one"),
    "picture": _list(
        "picture|image|photo|frame|camera|paper|page|drawing|sheet|screen|video|note|desk|camera picture|camera view"
    ),
    "in": _list("in|on|from|shown in|written on|on"),
    "see": _list("see|see|can see|are seeing|are looking at|have in view|have in front of you|saw"),
    "hear": _list("hear|hear|can hear|are hearing|heard|heard|have heard|are listening to|picked up"),
    "wrote": _list(
        "wrote|wrote|have written|drew|have drawn|show you|am showing|am showing you|hold up|put down|am holding up"
    ),
    "said": _list(
        "said|said|say|just said|have said|am saying|spoke|told you|mentioned|read out|read aloud|pronounced|uttered"
    ),
    "seen": _list(
        "the {digit} {in} the {picture}|what you {see}|what i {wrote}|the {digit} you {see}|the {digit} that you {see}"
        "|the written {digit}|the drawn {digit}|the handwritten {digit}|the {digit} i {wrote}|the {digit} that i {wrote}"
        "|the {picture}|the visible {digit}|what the camera sees|what is {in} the {picture}|the seen {digit}|the shown {digit}"
        "|the {digit} in front of the camera|the {digit} that is {in} the {picture}|the {digit} in my handwriting"
    ),
    "heard": _list(
        "what you {hear}|what i {said}|the {digit} you {hear}|the {digit} that you {hear}|the spoken {digit}|my voice"
        "|the {digit} i {said}|the {digit} that i {said}|the voice|the sound|the audio|the {digit} in the audio|the heard {digit}"
        "|the {digit} from the microphone|what was said|the {digit} that was said|the {digit} in my voice|the said {digit}"
        "|the {digit} in the recording|the {digit} coming from the microphone"
    ),
    "pair": _list(
        "them|both|these|the two|these two|the two {digits}|both {digits}|the {digits}|these {digits}|these two {digits}"
        "|{seen} and {heard}|{heard} and {seen}|my two {digits}|the two of them|the pair|the two {digits} you have"
    ),
    "digits": _list("numbers|digits|values|figures"),
    "tell": _list(
        "tell me|say|give me|show me|show|find|get|compute|calculate|work out|i want|i need|name|return|let me know"
    ),
    "which": _list("which is|which one is|which number is|which digit is|which of the two is|what is|which of them is"),
    "图": _list(
        "图里的|图中的|图片里的|画面里的|画面中的|纸上的|照片里的|镜头里的|摄像头里的|写的|写下的|看到的|你看到的|我写的|图上|看见的"
    ),
    "声": _list(
        "听到的|听见的|你听到的|我说的|说的|念的|读出来的|声音里的|语音里的|录音里的|麦克风里的|我刚说的|刚才说的|我念的"
    ),
    "数": _list("数字|数|那个数|那个数字|数目"),
    "两数": _list(
        "两个数|两个数字|这两个数|这两个数字|它们|他们|两者|这两个|两数|二者|俩数|{图}{数}和{声}{数}|{声}{数}和{图}{数}|{图}和{声}|{图}{数}与{声}{数}"
    ),
    "多少": _list("是多少|等于多少|是几|等于几|得多少|得几|是什么|多少|有多少"),
    "求": _list("求|算|计算|算出|求出|告诉我|给我|算一下|求一下|说出|我要|我想知道"),
}

TEMPLATES = {
    "add": _list(
        "add {pair}|add {pair} up|add {pair} together|sum|sum {pair}|sum up {pair}|the sum|the sum of {pair}|{tell} the sum"
        "|{tell} the sum of {pair}|what is the sum|what is the sum of {pair}|{seen} plus {heard}|{heard} plus {seen}|plus"
        "|what is {seen} plus {heard}|how much is {seen} plus {heard}|total|the total|the total of {pair}|{tell} the total"
        "|what do {pair} add up to|how much do {pair} make together|put {pair} together|addition|do an addition|add"
        "|what are {pair} in total|how many in total|how much altogether|combine {pair}|add {seen} to {heard}"
        "|add {heard} to {seen}|sum of {pair}|what do you get if you add {pair}|{pair} summed|count {pair} together"
        "|把{两数}加起来|{两数}相加|{两数}的和|{两数}之和|{求}{两数}的和|求和|加|加法|加起来|相加|加一下|{两数}加起来{多少}|{两数}的和{多少}"
        "|{图}{数}加{声}{数}|{图}{数}加上{声}{数}{多少}|{声}{数}加上{图}{数}|总和|总和{多少}|一共{多少}|合计|总共{多少}|加在一起|把{两数}加在一起"
        "|{两数}加在一起{多少}|做加法|{求}总和|{两数}合起来{多少}|把{图}加上{声}|和{多少}|总数{多少}"
    ),
    "difference": _list(
        "the difference|difference|{tell} the difference|the difference between {pair}|{tell} the difference of {pair}"
        "|what is the difference|what is the difference between {pair}|subtract|subtract {pair}|subtraction|minus"
        "|{seen} minus {heard}|{heard} minus {seen}|what is {seen} minus {heard}|how far apart are {pair}|take one from the other"
        "|how much do {pair} differ|by how much do {pair} differ|the gap|the gap between {pair}|what is the gap|subtract one"
        " from the other|subtract the smaller from the larger|take the smaller from the larger|the larger minus the smaller"
        "|the distance between {pair}|the bigger one minus the smaller one|how much larger is the larger one|how much bigger is one"
        " than the other|subtract {heard} from {seen}|subtract {seen} from {heard}|do a subtraction|absolute difference"
        "|{tell} the absolute difference of {pair}|how much more is the bigger one|take {heard} away from {seen}"
        "|{两数}的差|{两数}之差|{求}{两数}的差|求差|差|减|减法|相减|减一下|{两数}相减|{两数}相减{多少}|{两数}差多少|{两数}差几|相差多少|{两数}相差多少|{两数}相差几"
        "|{图}{数}减{声}{数}|{图}{数}减去{声}{数}{多少}|{声}{数}减去{图}{数}|大的减小的|大数减小数|用大的减去小的|差值|差值{多少}|{求}差值|做减法|差多少"
        "|{两数}的差距|大的比小的大多少|一个比另一个大多少|把{两数}相减|{两数}隔多远"
    ),
    "larger": _list(
        "larger|bigger|greater|the larger|the larger one|the bigger one|the greater one|the largest|the biggest|the maximum|max"
        "|maximum|{tell} the larger one|{tell} the bigger {digit}|{tell} the greater of {pair}|{tell} the maximum|max of {pair}"
        "|{which} larger|{which} bigger|{which} greater|{which} higher|{which} the biggest|{which} more|the larger of {pair}"
        "|the bigger of {pair}|the higher {digit}|the higher one|which of {pair} is larger|is {seen} or {heard} bigger"
        "|what is larger {seen} or {heard}|pick the larger one|choose the bigger {digit}|{tell} the highest|highest|take the max"
        "|the maximum of {pair}|which is the maximum|the larger {digit} please|keep the bigger one|who is bigger"
        "|哪个大|哪个更大|{两数}哪个大|{两数}哪个更大|{两数}中哪个大|较大的|较大的{数}|大的|大的那个|更大的{数}|最大|最大值|最大的|最大的{数}|取大的|取最大值"
        "|哪个数大|哪个数字更大|大一点的{数}|{求}较大的{数}|{求}最大值|{两数}里较大的|{两数}的最大值|{图}和{声}哪个大|谁大|谁更大|选大的|挑大的那个|大的{多少}"
        "|较大{多少}|{两数}中大的那个|哪个比较大|大数|比较大的{数}"
    ),
    "smaller": _list(
        "smaller|less|lower|the smaller|the smaller one|the lesser one|the lower one|the smallest|the least|the minimum|min"
        "|minimum|{tell} the smaller one|{tell} the smaller {digit}|{tell} the lesser of {pair}|{tell} the minimum|min of {pair}"
        "|{which} smaller|{which} less|{which} lower|{which} the smallest|{which} the least|the smaller of {pair}"
        "|the lesser of {pair}|the lower {digit}|which of {pair} is smaller|is {seen} or {heard} smaller|{which} fewer"
        "|what is smaller {seen} or {heard}|pick the smaller one|choose the smaller {digit}|{tell} the lowest|lowest|take the min"
        "|the minimum of {pair}|which is the minimum|the smaller {digit} please|keep the smaller one|who is smaller"
        "|哪个小|哪个更小|{两数}哪个小|{两数}哪个更小|{两数}中哪个小|较小的|较小的{数}|小的|小的那个|更小的{数}|最小|最小值|最小的|最小的{数}|取小的|取最小值"
        "|哪个数小|哪个数字更小|小一点的{数}|{求}较小的{数}|{求}最小值|{两数}里较小的|{两数}的最小值|{图}和{声}哪个小|谁小|谁更小|选小的|挑小的那个|小的{多少}"
        "|较小{多少}|{两数}中小的那个|哪个比较小|小数|比较小的{数}"
    ),
    "average": _list(
        "average|the average|mean|the mean|the average of {pair}|the mean of {pair}|{tell} the average|{tell} the mean"
        "|{tell} the average of {pair}|what is the average|what is the average of {pair}|what is the mean of {pair}"
        "|average {pair}|take the average|take the mean of {pair}|the mean value|the average value|the middle|the midpoint"
        "|the middle of {pair}|the midpoint of {pair}|what is in the middle between {pair}|halfway between {pair}|half of the sum"
        "|half the sum of {pair}|half of the total|average of {pair} rounded down|{tell} the mean value|compute the mean"
        "|what is {pair} on average|add {pair} and halve|the sum divided by two|on average|what is halfway|mean of {pair}"
        "|平均|平均数|平均值|均值|{求}平均数|{求}平均值|{求}平均|{两数}的平均|{两数}的平均数|{两数}的平均值|{两数}的平均值{多少}|{两数}平均{多少}|平均{多少}|取平均"
        "|{两数}取平均|{求}{两数}的平均数|{求}{两数}的平均值|平均一下|把{两数}平均一下|中间值|中间的{数}|{两数}的中间值|{两数}的均值|和的一半|总和的一半|加起来除以二"
        "|{两数}加起来除以二|{图}和{声}的平均|平均数取整|中点|{两数}中间的数"
    ),
    "product": _list(
        "multiply|multiply {pair}|product|the product|the product of {pair}|times|{seen} times {heard}|{heard} times {seen}"
        "|{tell} the product|{tell} the last digit of the product|the last digit of the product|last digit of the product"
        "|what is the product|what is the product of {pair}|what is the last digit of the product|multiplication"
        "|multiply {pair} and keep the last digit|the last digit of {seen} times {heard}|multiply {seen} by {heard}"
        "|multiply {heard} with {seen}|what is {seen} times {heard}|product of {pair}|do a multiplication|{pair} multiplied"
        "|what do you get if you multiply {pair}|how much is {seen} times {heard}|multiply them modulo ten|product modulo ten"
        "|the final digit of the product|last digit when you multiply {pair}|{tell} the product of {pair}|units digit of the product"
        "|乘|乘法|相乘|乘积|积|{两数}相乘|{两数}的积|{两数}的乘积|{两数}之积|{求}乘积|{求}{两数}的积|把{两数}相乘|把{两数}乘起来|乘起来|乘一下|{图}{数}乘{声}{数}"
        "|{图}{数}乘以{声}{数}{多少}|{声}{数}乘以{图}{数}|积的个位|积的个位数|乘积的个位|乘积的最后一位|相乘的个位数|相乘取个位|{两数}相乘的个位|{两数}乘积的个位数{多少}"
        "|{两数}相乘{多少}|做乘法|{求}积的个位|{求}乘积的最后一位|乘积{多少}|积{多少}|{两数}相乘的最后一位"
    ),
    "see": _list(
        "what do you see|what can you see|what did you see|{tell} what you {see}|{tell} which {digit} you {see}|which {digit} do you see|read {seen}|{tell} {seen}"
        "|what is {in} the {picture}|which {digit} is {in} the {picture}|what is {seen}|what {digit} is {in} the {picture}"
        "|read the {picture}|look|look at the {picture}|just look|look and {tell} {seen}|see|what is written|what is written on the {picture}"
        "|what did i write|what have i written|which {digit} did i write|what am i showing you|which {digit} am i holding up|the {picture} only"
        "|only the {picture}|recognise {seen}|recognize the handwriting|read the handwriting|what does the {picture} show"
        "|ignore {heard}, what do you see|ignore {heard} and read {seen}|what {digit} is this|what does the camera see"
        "|{seen}|{tell} the {digit} {in} the {picture}|identify {seen}|visual only|what is on the {picture}|just the {picture}"
        "|not {heard}, just {seen}|what is drawn|what is drawn on the {picture}|what is visible"
        "|你看到什么|你看到了什么|看到了什么|看见什么|看到几|看到什么数字|你看到的是几|{图}是什么|{图}{数}是什么|{图}{数}{多少}|{图}是几|图里是几|图片里是什么数字|画面里是几"
        "|纸上写的是几|纸上写了什么|写的是几|写了几|我写了什么|我写的是几|读一下图片|读图|看图|看一下画面|看看图里是几|只看图片|只看画面|不管声音看图里是几|{求}{图}{数}|识别{图}{数}"
        "|镜头里是几|摄像头看到什么|手写的是几|手写的数字是什么|画的是几|图片上是几|照片里是什么|不听声音只看图|只说看到的"
    ),
    "hear": _list(
        "what do you hear|what can you hear|what did you hear|{tell} what you {hear}|{tell} which {digit} you {hear}|which {digit} do you hear|repeat {heard}"
        "|{tell} {heard}|what did i say|what was said|which {digit} was said|what is {heard}|which {digit} did i say|repeat"
        "|repeat after me|listen|listen and {tell} {heard}|repeat what i {said}|listen to {heard}|just listen|hear|what {digit} was spoken|what am i saying|repeat my words"
        "|only {heard}|{heard} only|recognise {heard}|transcribe|transcribe {heard}|what does {heard} say|what did you hear me say"
        "|ignore the {picture}, what do you hear|ignore {seen} and repeat {heard}|what is in the audio|what was that sound"
        "|{heard}|say what i said|identify {heard}|audio only|say it back|just {heard}|not {seen}, just {heard}|echo"
        "|what did the microphone pick up|what is the microphone hearing|which {digit} did you hear|say it again"
        "|你听到什么|你听到了什么|听到了什么|听见什么|听到几|听到什么数字|你听到的是几|{声}是什么|{声}{数}是什么|{声}{数}{多少}|{声}是几|我说了什么|我说的是几|我说了几"
        "|刚才说的是几|刚刚说了什么|念的是几|语音里是几|语音说了什么|声音里是什么数字|听一下|听听我说的是几|听|只听声音|不看图片听到的是几|复述|重复一遍|重复我说的{数}"
        "|{求}{声}{数}|识别{声}{数}|麦克风听到什么|录音里是几|读的是几|只说听到的|不管图片听到几|说的是什么数字|跟我读|听声音"
    ),
}

NOTHING_PHRASES = _list(
    "the {thing} is {state}|the {thing} is {state} {when}|my {thing} is {state}|is the {thing} {state}|why is the {thing} {state}"
    "|where is the {thing}|where is my {thing}|i like the {thing}|i need a new {thing}|do you have a {thing}|who took my {thing}"
    "|i {act} the {thing}|we {act} a {thing} {when}|please {act} the {thing}|can you {act} the {thing}|{act} the {thing} {when}"
    "|did you {act} the {thing}|i want to {act} the {thing}|the {thing} and the {thing}|how do i {act} a {thing}|a {thing}"
    "|what a {state} {thing}|it is {state} {when}|i am {state}|are you {state}|{when} we {act} the {thing}|{thing}|so {state}"
    "|{物}很{态}|我的{物}在哪里|{物}在哪|我喜欢{物}|我要买{物}|{时}我想{做}|{时}{做}吧|我们去{做}|把{物}拿走|你喜欢{物}吗|{时}很{态}|谁拿了我的{物}|{物}和{物}"
    "|我不想{做}|可以{做}吗|{物}太{态}了|为什么{物}这么{态}|{时}去{做}|{时}有{物}吗|{态}|{物}坏了|好{态}啊"
    "|"
    "hello|hi|hi there|good morning|good evening|how are you|how are you doing today|what time is it|what day is it|thank you"
    "|thanks a lot|bye|goodbye|see you later|nice to meet you|what is your name|who are you|where are you from|i am hungry"
    "|the weather is nice|is it raining|will it rain tomorrow|play some music|stop the music|turn on the light|turn off the lamp"
    "|open the door|close the window|call my mother|send a message|set a timer|wake me up at seven|tell me a joke|sing a song"
    "|i love you|what is for dinner|how old are you|where is my phone|good night|be quiet|never mind|forget it|nothing|stop|wait"
    "|test|testing|hmm|um|well|ok|okay|yes|no|maybe|sure|great|cool|wow|lorem ipsum dolor|the quick brown fox|once upon a time"
    "|my cat is asleep|the coffee is cold|i went to school|the train is late|she bought a red car|we are going home|it is late"
    "|read me the news|write an email|translate this|who won the game|how do i get home|what is the capital of france|book a table"
    "|it was fun to see you|i hear you|i see|that is mean|he is an average guy|times are hard|no problem|i agree|happy birthday"
    "|how is the family|do you like dogs|what a day|please wait|one moment|help|help me|what can you do|start|pause|cancel|quit"
    "|你好|您好|早上好|晚上好|晚安|再见|谢谢|谢谢你|不客气|你是谁|你叫什么名字|今天天气怎么样|现在几点|今天星期几|我饿了|我爱你|放首歌|开灯|关灯|打开窗户|关门"
    "|讲个笑话|唱首歌|打电话给妈妈|发个短信|定个闹钟|明天会下雨吗|吃饭了吗|你从哪里来|我想睡觉|生日快乐|没事|算了|等一下|好的|是的|不是|可以|不行|哈哈|嗯|测试"
    "|中国的首都是哪里|回家吧|我的手机在哪里|猫在睡觉|咖啡凉了|火车晚点了|她买了一辆红色的车|新年快乐|怎么了|没关系|对不起|请稍等|帮帮我|你会做什么|停|开始|取消"
)

HELD_OUT = {
    "add": _list(
        "What's the total if you add the written digit and the spoken one?|sum these two for me|Could you add up the numbers?"
        "|how much are they together|the digit on the sheet plus the one I said|add it all up|图上的数加上我念的数是几|请把两个数字加到一起"
        "|这两个数一共是多少"
    ),
    "difference": _list(
        "What's the difference between the picture and my voice?|how far is one from the other|please subtract the two digits"
        "|by how much do these numbers differ|the gap between the two, please|bigger minus smaller|这两个数字相差几|请算一下两数之差|大数减去小数是多少"
    ),
    "larger": _list(
        "Which number is the larger one?|give me the bigger of the two|the greater value please|is the written or the spoken digit larger"
        "|what's the maximum here|please pick the bigger number|请问哪一个数更大|两个数字里大的是哪个|告诉我最大的数"
    ),
    "smaller": _list(
        "Which number is the smaller one?|give me the lesser of these|the lower value please|is the written or the spoken digit smaller"
        "|what's the minimum here|please pick the smaller number|请问哪一个数更小|两个数字里小的是哪个|告诉我最小的数"
    ),
    "average": _list(
        "What's their average?|please average the two digits|give me the mean of both values|what lies halfway between the two numbers"
        "|the average of the written and the spoken digit|work out their mean|请问平均数是几|这两个数字的平均是多少|帮我求个平均"
    ),
    "product": _list(
        "Multiply the two and tell me the last digit|what's the product's last digit|please multiply both numbers"
        "|the written digit times the spoken digit|last digit of their product|what do they multiply to|两数相乘个位是几|请把这两个数字乘一乘|乘积的末位是什么"
    ),
    "see": _list(
        "What's the number in the photo?|please read what I have written|which figure is on the paper|tell me the digit you can see"
        "|look at the camera and tell me the number|what number am I showing|请问图片里写的是几|纸上的数字是什么呢|你看见的是什么数字"
    ),
    "hear": _list(
        "What's the number I just said?|please repeat the digit you heard|which figure did I call out|tell me the number that was spoken"
        "|listen and tell me the number|what number am I saying|请问我刚才说的是几|听到的数字是什么呢|你听见的是什么数字"
    ),
}

HELD_OUT_NOTHING = _list(
    "good afternoon|what's the weather like today|please call my brother|turn the volume down|i lost my keys|where is the station"
    "|see you tomorrow|play the next song|thanks for everything|the dog is barking|今天真热|我想喝水|明天见|把电视打开|你吃了没有"
)
